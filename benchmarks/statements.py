"""Statements as people, dashboards, pipelines and assistants send them to BigQuery: many shapes, some 600 texts."""

import random
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from hoop_mitm.sql import Verb

_SEED: Final = 20260101
_EACH: Final = 22
_TABLES: Final = ("orders", "customers", "sessions", "invoices", "shipments", "payments", "products", "subscriptions")
_COLUMNS: Final = (
    "id", "customer_id", "created_at", "updated_at", "status", "country", "channel", "amount", "currency", "discount",
    "quantity", "sku", "campaign", "device", "plan", "region", "score", "tax", "margin", "source",
)  # fmt: skip
_DATASETS: Final = ("shop", "`acme-prod.analytics`", "`acme-prod`.finance", "crm", "acme-raw.billing")
_WORDS: Final = (
    "paid",
    "open",
    "returned",
    "Berlin",
    "O\\'Neill",
    "München",
    "50% off",
    "a;b",
    "-- none",
    "2026-01-01",
)


class Asked(NamedTuple):
    """A statement with the name of its shape, and what it does."""

    shape: str
    statement: str
    verb: Verb


type _Shape = Callable[["_Pick"], str]


class _Pick:
    """Names and values by chance, the same in each run."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def column(self) -> str:
        return self._random.choice(_COLUMNS)

    def columns(self, most: int = 6) -> list[str]:
        return self._random.sample(_COLUMNS, self._random.randint(2, most))

    def table(self) -> str:
        name = self._random.choice(_TABLES)
        dataset = self._random.choice(_DATASETS)
        return f"{dataset[:-1]}.{name}`" if dataset.count(".") and dataset.endswith("`") else f"{dataset}.{name}"

    def number(self, most: int = 1000) -> int:
        return self._random.randint(1, most)

    def word(self) -> str:
        return f"'{self._random.choice(_WORDS)}'"

    def one_of(self, *choices: str) -> str:
        return self._random.choice(choices)

    def condition(self) -> str:
        column = self.column()
        return self.one_of(
            f"{column} = {self.word()}",
            f"{column} IN ({', '.join(self.word() for _ in range(self.number(6)))})",
            f"{column} BETWEEN {self.number()} AND {self.number(9000)}",
            f"LOWER({column}) LIKE '%{self.number()}%'",
            f"{column} IS NOT NULL",
            f"DATE(created_at) >= DATE_SUB(CURRENT_DATE(), INTERVAL {self.number(90)} DAY)",
            f"COALESCE({column}, 0) > {self.number()} AND NOT ({self.column()} <> {self.word()})",
            f"REGEXP_CONTAINS({column}, r'^[a-z]{{2,{self.number(9) + 2}}}\\d+$')",
        )

    def conditions(self, most: int = 4) -> str:
        return "\n  AND ".join(self.condition() for _ in range(self.number(most)))


def corpus() -> list[Asked]:
    """Every statement, in an order that mixes the shapes. The same in each run; no text occurs twice."""
    asked: dict[str, Asked] = {}
    for number, (name, (verb, shape)) in enumerate(_SHAPES.items()):
        pick = _Pick(_SEED + number)
        for _ in range(_EACH):
            statement = shape(pick)
            asked[statement] = Asked(name, statement, verb)
    found = list(asked.values())
    random.Random(_SEED).shuffle(found)
    return found


def _peek(p: _Pick) -> str:
    return f"SELECT * FROM {p.table()} LIMIT {p.number()}"


def _columns(p: _Pick) -> str:
    return f"SELECT {', '.join(p.columns())}\nFROM {p.table()}\nWHERE {p.conditions()}\nORDER BY {p.column()} DESC\nLIMIT {p.number()}"


def _count(p: _Pick) -> str:
    return (
        f"select count(*) as n, count(distinct {p.column()}) u from {p.table()} where {p.condition()} -- {p.number()}"
    )


def _grouped(p: _Pick) -> str:
    return (
        f"SELECT DATE_TRUNC(DATE(created_at), {p.one_of('DAY', 'WEEK(MONDAY)', 'MONTH', 'QUARTER')}) AS period, {p.column()},\n"
        f"  SUM(amount) AS total, AVG({p.column()}) AS mean, APPROX_QUANTILES(amount, 100)[OFFSET({p.number(99)})] AS q,\n"
        f"  COUNTIF({p.condition()}) AS matching, ROUND(SAFE_DIVIDE(SUM(margin), SUM(amount)) * 100, 2) AS percent\n"
        f"FROM {p.table()}\nWHERE {p.conditions()}\nGROUP BY 1, 2\nHAVING total > {p.number()}\nORDER BY period, total DESC"
    )


def _joined(p: _Pick) -> str:
    joins = "\n".join(
        f"{p.one_of('JOIN', 'LEFT JOIN', 'FULL OUTER JOIN')} {p.table()} AS t{n} ON t{n}.id = t0.customer_id AND t{n}.{p.condition()}"
        for n in range(1, p.number(4) + 1)
    )
    return f"SELECT t0.*, t1.{p.column()} AS a, t1.* EXCEPT ({p.column()})\nFROM {p.table()} t0\n{joins}\nWHERE t0.{p.conditions()}"


def _windowed(p: _Pick) -> str:
    return (
        f"SELECT *, ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY created_at DESC) AS rn,\n"
        f"  LAG(amount, {p.number(5)}) OVER w AS before, SUM(amount) OVER (w ROWS BETWEEN {p.number(30)} PRECEDING AND CURRENT ROW)\n"
        f"FROM {p.table()}\nWHERE {p.conditions()}\nQUALIFY rn <= {p.number(9)}\nWINDOW w AS (PARTITION BY {p.column()} ORDER BY created_at)"
    )


def _funnel(p: _Pick) -> str:
    steps = ["view_item", "add_to_cart", "begin_checkout", "add_payment_info", "purchase"]
    counted = ",\n  ".join(
        f"COUNT(DISTINCT IF(event_name = '{step}', user_pseudo_id, NULL)) AS {step}s" for step in steps
    )
    return (
        f"SELECT\n  {counted},\n  (SELECT value.int_value FROM UNNEST(event_params) WHERE key = 'ga_session_id') AS session\n"
        f"FROM `acme-prod.analytics_{p.number(99999)}.events_*`\n"
        f"WHERE _TABLE_SUFFIX BETWEEN '202601{p.number(19) + 10}' AND FORMAT_DATE('%Y%m%d', CURRENT_DATE())\n"
        f"  AND geo.country IN ({p.word()}, {p.word()})\nGROUP BY session"
    )


def _cohort(p: _Pick) -> str:
    return (
        f"WITH first AS (\n  SELECT customer_id, MIN(DATE(created_at)) AS day FROM {p.table()} WHERE {p.condition()} GROUP BY 1\n),\n"
        f"activity AS (\n  SELECT o.customer_id, f.day, DATE_DIFF(DATE(o.created_at), f.day, WEEK) AS week\n"
        f"  FROM {p.table()} AS o INNER JOIN first AS f USING (customer_id)\n  WHERE {p.conditions()}\n),\n"
        f"sizes AS (SELECT day, COUNT(*) AS people FROM first GROUP BY day)\n"
        f"SELECT a.day, week, people, COUNT(DISTINCT customer_id) / ANY_VALUE(people) AS retained\n"
        f"FROM activity a JOIN sizes s ON s.day = a.day\nWHERE week BETWEEN 0 AND {p.number(52)}\nGROUP BY a.day, week, people\nORDER BY 1, 2"
    )


def _model(p: _Pick) -> str:
    """As dbt compiles them: a chain of expressions."""
    layers = [f"source as (\n\n    select * from {p.table()}\n\n)"]
    for n in range(p.number(8) + 3):
        before = "source" if n == 0 else f"layer_{n - 1}"
        listed = ",\n        ".join(
            [
                *p.columns(8),
                (
                    f"case\n            when {p.condition()} then {p.word()}\n            when {p.condition()} then {p.word()}\n"
                    f"            else 'other'\n        end as bucket_{n}"
                ),
                f"safe_cast({p.column()} as {p.one_of('int64', 'numeric', 'string', 'timestamp')}) as cast_{n}",
                f"json_value(payload, '$.a.b[{n}]') as json_{n}",
            ]
        )
        layers.append(
            f'layer_{n} as (\n\n    -- step {n}: it\'s the "{p.column()}" of each; kept\n    select\n        {listed}\n    from {before}\n'
            f"    where {p.conditions()}\n\n)"
        )
    return f'/* {{"app": "dbt", "node_id": "model.acme.m{p.number(999)}"}} */\n\nwith {", ".join(layers)}\n\nselect * from layer_0'


def _dashboard(p: _Pick) -> str:
    """As BI tools write them: everything quoted, everything nested."""
    inner = f"SELECT `t0`.`{p.column()}` AS `c0`, SUM(`t0`.`amount`) AS `c1` FROM {p.table()} AS `t0` WHERE `t0`.{p.conditions()} GROUP BY `c0`"
    for n in range(p.number(4)):
        inner = f"SELECT `q{n}`.`c0` AS `c0`, IFNULL(`q{n}`.`c1`, 0) AS `c1` FROM (\n{inner}\n) AS `q{n}` WHERE ((`q{n}`.`c1` >= {p.number()}))"
    return f"{inner}\nORDER BY `c1` DESC, `c0` ASC\nLIMIT {p.number(50000)} OFFSET {p.number()}"


def _nested(p: _Pick) -> str:
    return (
        f"SELECT o.id, ARRAY(SELECT AS STRUCT i.sku, i.quantity * i.price AS total FROM UNNEST(o.items) AS i WITH OFFSET AS n\n"
        f"  WHERE n < {p.number(9)} ORDER BY total DESC) AS items, o.address.city, TO_JSON_STRING(o) AS js,\n"
        f"  (SELECT STRING_AGG(DISTINCT t, ', ' ORDER BY t LIMIT {p.number(9)}) FROM UNNEST(o.tags) t) AS tags\n"
        f"FROM {p.table()} AS o, o.items AS item LEFT JOIN UNNEST(item.labels) AS label\nWHERE {p.conditions()} AND item.sku = {p.word()}"
    )


def _schema(p: _Pick) -> str:
    view = p.one_of("COLUMNS", "TABLES", "TABLE_STORAGE", "PARTITIONS", "COLUMN_FIELD_PATHS")
    return f"SELECT table_name, * FROM {p.one_of('shop', '`acme-prod`.crm', '`region-eu`')}.INFORMATION_SCHEMA.{view}\nWHERE table_name LIKE '%{p.number()}%'"


def _jobs(p: _Pick) -> str:
    return (
        f"SELECT user_email, query, total_bytes_billed / POW(1024, 4) * 6.25 AS usd, TIMESTAMP_DIFF(end_time, start_time, SECOND) s\n"
        f"FROM `region-us`.INFORMATION_SCHEMA.JOBS_BY_PROJECT\nWHERE creation_time > TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL {p.number()} HOUR)\n"
        f"  AND statement_type <> 'SCRIPT' AND error_result.reason IS NULL\nORDER BY usd DESC LIMIT {p.number()}"
    )


def _pivoted(p: _Pick) -> str:
    return (
        f"SELECT * FROM (SELECT country, status, amount FROM {p.table()} WHERE {p.conditions()})\n"
        f"PIVOT (SUM(amount) AS total, COUNT(*) AS n FOR status IN ('open', 'paid' AS settled, 'lost'))\nORDER BY {p.number(3)}"
    )


def _united(p: _Pick) -> str:
    parts = [
        f"SELECT '{n}' AS part, {p.column()}, {p.column()} AS x FROM {p.table()} WHERE {p.condition()}"
        for n in range(p.number(6) + 1)
    ]
    return "\nUNION ALL\n".join(parts) + f"\nORDER BY 1 LIMIT {p.number()}"


def _piped(p: _Pick) -> str:
    return (
        f"FROM {p.table()}\n|> WHERE {p.conditions()}\n|> EXTEND amount * {p.number()} AS scaled\n|> SET status = UPPER(status), amount = scaled / 2\n"
        f"|> DROP discount, tax\n|> AGGREGATE SUM(amount) AS total, COUNT(*) AS n GROUP BY country\n|> ORDER BY total DESC\n|> LIMIT {p.number()}"
    )


def _travelled(p: _Pick) -> str:
    return f"SELECT * FROM {p.table()} FOR SYSTEM_TIME AS OF TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL {p.number()} MINUTE) WHERE {p.condition()}"


def _placed(p: _Pick) -> str:
    return (
        f"SELECT store, ST_DISTANCE(ST_GEOGPOINT(lon, lat), ST_GEOGPOINT(13.4{p.number()}, 52.5)) / 1000 AS km\nFROM {p.table()}\n"
        f"WHERE ST_DWITHIN(ST_GEOGPOINT(lon, lat), ST_GEOGFROMTEXT('POINT(13.4 52.{p.number()})'), {p.number()}e3) AND {p.condition()}"
    )


def _parameters(p: _Pick) -> str:
    return (
        f"SELECT {', '.join(p.columns())} FROM {p.table()} WHERE created_at >= @start AND created_at < TIMESTAMP(@end)\n"
        f"  AND country IN UNNEST(@countries) AND (@segment IS NULL OR channel = @segment) AND {p.condition()} LIMIT @most"
    )


def _script(p: _Pick) -> str:
    return (
        f"DECLARE first, last DATE;\nDECLARE most INT64 DEFAULT {p.number()};\n"
        f"SET (first, last) = (SELECT AS STRUCT MIN(DATE(created_at)), MAX(DATE(created_at)) FROM {p.table()} WHERE {p.condition()});\n"
        f"IF last < CURRENT_DATE() THEN\n  SELECT ERROR(FORMAT('late: %t', last));\nELSE\n"
        f"  SELECT {', '.join(p.columns())} FROM {p.table()} WHERE DATE(created_at) BETWEEN first AND last AND {p.condition()} ORDER BY 1;\nEND IF;"
    )


def _functions(p: _Pick) -> str:
    return (
        f"CREATE TEMP FUNCTION bucket(x FLOAT64, n INT64) AS (CAST(FLOOR(x / {p.number()}) AS INT64) * n);\n"
        f'CREATE TEMP FUNCTION parse(s STRING) RETURNS ARRAY<STRUCT<k STRING, v FLOAT64>> LANGUAGE js AS r"""\n'
        f"  // DELETE nothing; it's JavaScript\n  return Object.entries(JSON.parse(s || '{{}}')).map(([k, v]) => ({{k, v}}));\n\"\"\";\n"
        f"SELECT bucket(amount, {p.number(9)}) AS b, p.k, SUM(p.v) FROM {p.table()}, UNNEST(parse(payload)) AS p WHERE {p.condition()} GROUP BY b, p.k"
    )


def _asked_models(p: _Pick) -> str:
    return (
        f"SELECT predicted_label, probability, id FROM ML.PREDICT(MODEL `acme-prod.models.churn_v{p.number()}`,\n"
        f"  (SELECT {', '.join(p.columns())}, id FROM {p.table()} WHERE {p.condition()}), STRUCT(0.{p.number(9)} AS threshold))"
    )


def _merge(p: _Pick) -> str:
    columns = p.columns()
    return (
        f"MERGE INTO {p.table()} AS target\nUSING (\n  SELECT * EXCEPT (rn) FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY id ORDER BY updated_at DESC) AS rn\n"
        f"  FROM {p.table()} WHERE {p.condition()}) WHERE rn = 1\n) AS source\nON target.id = source.id AND target.created_at > TIMESTAMP '2026-01-01'\n"
        f"WHEN MATCHED AND source.updated_at > target.updated_at THEN\n  UPDATE SET {', '.join(f'{c} = source.{c}' for c in columns)}\n"
        f"WHEN NOT MATCHED THEN\n  INSERT ({', '.join(columns)}) VALUES ({', '.join(f'source.{c}' for c in columns)})\n"
        f"WHEN NOT MATCHED BY SOURCE AND target.score < {p.number()} THEN DELETE"
    )


def _inserted(p: _Pick) -> str:
    rows = ",\n  ".join(
        f"({p.number()}, {p.word()}, TIMESTAMP '2026-01-{p.number(18) + 10} 08:00:00+00', {p.number()}.{p.number()}, NULL, TRUE)"
        for _ in range(p.number(60))
    )
    return f"INSERT INTO {p.table()} (id, status, created_at, amount, plan, active)\nVALUES\n  {rows}"


def _changed(p: _Pick) -> str:
    return p.one_of(
        f"UPDATE {p.table()} SET status = {p.word()}, score = score + {p.number()} WHERE {p.conditions()}",
        f"DELETE FROM {p.table()} WHERE id IN (SELECT id FROM {p.table()} WHERE {p.condition()}) AND score > {p.number()}",
        f"INSERT INTO {p.table()} ({', '.join(columns := p.columns())}) SELECT {', '.join(columns)} FROM {p.table()} WHERE {p.conditions()}",
    )


def _made(p: _Pick) -> str:
    return (
        f"CREATE OR REPLACE TABLE {p.table()}\nPARTITION BY DATE(created_at)\nCLUSTER BY country, status\n"
        f"OPTIONS (description = 'made {p.number()}', labels = [('team', 'data')], partition_expiration_days = {p.number()})\nAS\n{_grouped(p)}"
    )


def _viewed(p: _Pick) -> str:
    return f"CREATE OR REPLACE VIEW {p.table()} AS\n{_joined(p)}"


def _exported(p: _Pick) -> str:
    return f"EXPORT DATA OPTIONS (uri = 'gs://acme-export/{p.number()}/*.parquet', format = 'PARQUET', overwrite = true)\nAS {_columns(p)}"


def _shapes() -> Iterator[tuple[Verb, _Shape]]:
    reads = (
        _peek, _columns, _count, _grouped, _joined, _windowed, _funnel, _cohort, _model, _dashboard, _nested, _schema, _jobs,
        _pivoted, _united, _piped, _travelled, _placed, _parameters, _script, _functions, _asked_models,
    )  # fmt: skip
    for shape in reads:
        yield "read", shape
    for shape in (_merge, _inserted, _changed):
        yield "write", shape
    for shape in (_made, _viewed, _exported):
        yield "admin", shape


_SHAPES: Final = {shape.__name__.strip("_"): (verb, shape) for verb, shape in _shapes()}
