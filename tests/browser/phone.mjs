// Runs JsSIP in headless Chromium: OPTIONS, then a call that the browser hangs up. One line an event; status 0 if all went well.
//
//     node phone.mjs ws://127.0.0.1:5080 sip:bob@127.0.0.1:5080

import http from 'node:http';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';

const [socket, target] = process.argv.slice(2);
if (!socket || !target) {
  console.error('usage: node phone.mjs ws://HOST:PORT sip:USER@HOST:PORT');
  process.exit(2);
}

/// How long the whole run may take.
const LIMIT_MS = 45_000;

/// Chromium without what would look for hosts outside, and with a microphone that is not there.
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--ignore-certificate-errors',
  '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
];

const bundle = await build({
  entryPoints: [fileURLToPath(import.meta.resolve('jssip'))],
  bundle: true, format: 'iife', globalName: 'JsSIP', write: false, logLevel: 'error',
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
  ended = (await page.evaluate(phone, { socket, target })) ? 0 : 1;
} finally {
  clearTimeout(late);
  await browser.close();
  pages.close();
}
process.exit(ended);

/// Runs in the page.
async function phone({ socket, target }) {
  const host = target.replace(/^sips?:([^@]*@)?/, '');
  const ua = new JsSIP.UA({ sockets: [new JsSIP.WebSocketInterface(socket)], uri: `sip:browser@${host}`, register: false });
  const happens = (emitter, good, bad = []) => new Promise((resolve, reject) => {
    emitter.on(good, resolve);
    for (const name of bad) emitter.on(name, (event) => reject(new Error(`${name}: ${event?.cause ?? event?.error ?? ''}`)));
  });
  try {
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
    await happens(session, 'confirmed', ['failed']);
    console.log('confirmed');
    const over = happens(session, 'ended', ['failed']);
    session.terminate();
    const { originator, cause } = await over;
    console.log(`ended by ${originator}: ${cause}`);
    ua.stop();
    return true;
  } catch (error) {
    console.log(`failed: ${error.message}`);
    return false;
  }
}
