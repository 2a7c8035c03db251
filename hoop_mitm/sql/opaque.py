"""Why a text is not understood."""


class Opaque(Exception):
    """Somewhere in the text is what hoop-mitm does not understand. ``str`` gives the reason, as a sentence for people."""
