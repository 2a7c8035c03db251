// Node: a greeting with its own roots, through the proxy that Google's library would take.
// Prints one word: direct, trusted, untrusted, failed. No request is sent.
const http = require('http');
const tls = require('tls');

const host = 'bigquery.googleapis.com';
const named = process.env.HTTPS_PROXY || process.env.https_proxy;

function say(word) {
  console.log(word);
  process.exit();
}

setTimeout(() => say('failed timeout'), 30000);
if (!named) {
  say('direct');
} else {
  const proxy = new URL(named.includes('//') ? named : `http://${named}`);
  const asked = {host: proxy.hostname, port: proxy.port || 80, method: 'CONNECT', path: `${host}:443`};
  http
    .request(asked)
    .on('connect', (answer, socket) => {
      const secure = tls.connect({socket, servername: host}, () => say('trusted'));
      secure.on('error', error => say(/certificate/i.test(error.message) ? 'untrusted' : `failed ${error.code}`));
    })
    .on('error', error => say(`failed ${error.code}`))
    .end();
}
