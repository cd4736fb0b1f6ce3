// Runs a SIP phone in headless Chromium: OPTIONS, then a call that the browser or the server hangs up. One line an event; status 0
// if all went well.
//
//     node phone.mjs jssip ws://127.0.0.1:5080 sip:bob@127.0.0.1:5080 browser

import http from 'node:http';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';

/// The name under which a page finds the library, the package, and what runs in the page.
const STACKS = { jssip: ['JsSIP', 'jssip', jssip], sipjs: ['SIP', 'sip.js', sipjs] };

const [stack, socket, target, ends] = process.argv.slice(2);
if (!STACKS[stack] || !target || !['browser', 'server'].includes(ends)) {
  console.error('usage: node phone.mjs jssip|sipjs ws://HOST:PORT sip:USER@HOST:PORT browser|server');
  process.exit(2);
}
const [globalName, library, phone] = STACKS[stack];

/// How long the whole run may take.
const LIMIT_MS = 45_000;

/// Chromium without what would look for hosts outside, and with a microphone that is not there.
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--ignore-certificate-errors',
  '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
];

const bundle = await build({
  entryPoints: [fileURLToPath(import.meta.resolve(library))],
  bundle: true, format: 'iife', globalName, write: false, logLevel: 'error',
});

// A page from loopback is a secure context, which a microphone needs.
const pages = http.createServer((_, response) => {
  response.setHeader('content-type', 'text/html');
  response.end('<!doctype html><title>phone</title>');
});
await new Promise((ready) => pages.listen(0, '127.0.0.1', ready));

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
const late = setTimeout(() => { console.log('late'); process.exit(1); }, LIMIT_MS);
let ended = 1;
try {
  const page = await browser.newPage();
  page.on('console', (message) => console.log(message.text()));
  await page.goto(`http://127.0.0.1:${pages.address().port}/`);
  await page.addScriptTag({ content: bundle.outputFiles[0].text });
  await page.evaluate(phone, { socket, target, ends });
  ended = 0;
} catch (error) {
  console.log(`failed: ${error.message}`);
} finally {
  clearTimeout(late);
  await browser.close();
  pages.close();
}
process.exit(ended);

/// Runs in the page, with JsSIP.
async function jssip({ socket, target, ends }) {
  const host = target.replace(/^sips?:([^@]*@)?/, '');
  const ua = new JsSIP.UA({ sockets: [new JsSIP.WebSocketInterface(socket)], uri: `sip:browser@${host}`, register: false });
  const happens = (emitter, good, bad = []) => new Promise((resolve, reject) => {
    emitter.on(good, resolve);
    for (const name of bad) emitter.on(name, (event) => reject(new Error(`${name}: ${event?.cause ?? event?.error ?? ''}`)));
  });
  const connected = happens(ua, 'connected', ['disconnected']);
  ua.start();
  await connected;
  console.log('connected');

  const answer = await new Promise((resolve, reject) => ua.sendOptions(target, null, {
    eventHandlers: { succeeded: ({ response }) => resolve(response), failed: ({ cause }) => reject(new Error(cause)) },
  }));
  console.log(`options ${answer.status_code} allow ${answer.getHeader('Allow')}`);

  const session = ua.call(target, { mediaConstraints: { audio: true, video: false } });
  session.on('progress', ({ response }) => console.log(`progress ${response?.status_code}`));
  const over = happens(session, 'ended', ['failed']);
  await happens(session, 'confirmed', ['failed']);
  console.log('confirmed');
  if (ends === 'browser') session.terminate();
  const { originator, cause } = await over;
  console.log(`ended by ${originator}: ${cause}`);
  ua.stop();
}

/// Runs in the page, with SIP.js.
async function sipjs({ socket, target, ends }) {
  const host = target.replace(/^sips?:([^@]*@)?/, '');
  const uri = (text) => SIP.UserAgent.makeURI(text);
  const ua = new SIP.UserAgent({ uri: uri(`sip:browser@${host}`), transportOptions: { server: socket }, logLevel: 'error' });
  await ua.start();
  console.log('connected');

  const core = ua.userAgentCore;
  const options = core.makeOutgoingRequestMessage('OPTIONS', uri(target), uri(`sip:browser@${host}`), uri(target), {});
  const answer = await new Promise((resolve, reject) => core.request(options, {
    onAccept: ({ message }) => resolve(message), onReject: ({ message }) => reject(new Error(`${message.statusCode}`)),
  }));
  console.log(`options ${answer.statusCode} allow ${answer.getHeader('Allow')}`);

  // It tells the side that sends the BYE by who calls back: a delegate hears of one that comes in.
  let by = 'local';
  const session = new SIP.Inviter(ua, uri(target), { sessionDescriptionHandlerOptions: { constraints: { audio: true, video: false } } });
  session.delegate = { onBye: (bye) => { by = 'remote'; bye.accept(); } };
  const reaches = (wanted) => new Promise((resolve, reject) => session.stateChange.addListener((state) => {
    if (state === wanted) resolve();
    else if (state === 'Terminated') reject(new Error(`terminated before ${wanted}`));
  }));
  const confirmed = reaches('Established');
  const over = reaches('Terminated');
  await session.invite({ requestDelegate: { onProgress: ({ message }) => console.log(`progress ${message.statusCode}`) } });
  await confirmed;
  console.log('confirmed');
  if (ends === 'browser') await session.bye();
  await over;
  console.log(`ended by ${by}: Terminated`);
  await ua.stop();
}
