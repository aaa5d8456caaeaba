/**
 * Starts the agent on a machine. In the ramdisk: `node /overdub/loader.mjs`, which reads /overdub/session.json
 * ({"url", "nonce"}). In a server: `node loader.mjs --state DIR`, which reads DIR/credential.json ({"url",
 * "credential", "server", "generation"}). Says hello, fetches the bundle by digest, verifies every file, starts it;
 * fetches again when the appliance has a newer one. Plain JavaScript without dependencies, so that this file alone,
 * beside Node, is all a machine needs. No part of it runs on import by others: it is a program.
 */

import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { dirname, join, resolve, sep } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { zstdDecompressSync } from 'node:zlib';

const PROTOCOL = 1;
const SESSION_FILE = '/overdub/session.json';
const RUN_DIR = '/run/overdub';
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;
/** Waits after failures, milliseconds; the last one is repeated. */
const PATIENCE_MS = [1000, 2000, 4000, 8000, 15_000, 30_000];

const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => stop.abort());

// WebAssembly by the optimizing compiler alone: on a busy machine the step up from the quick one was seen to stay out
// for a whole snapshot, and its hashes to run at a fourteenth of their speed.
setFlagsFromString('--no-liftoff');
// Buffers of file contents count against what the heap may grow: with V8's usual room, it is marked for every 10 MiB of them.
setFlagsFromString('--heap-growing-percent=100');

say('loader started');
try {
  process.exitCode = await live(await whoAmI());
} catch (error) {
  say(describe(error));
  process.exitCode = stop.signal.aborted ? 0 : 1;
}

/** Fetches and runs the agent until it is stopped or the machine goes down. */
async function live(self) {
  let failures = 0;
  while (!stop.signal.aborted) {
    const began = Date.now();
    try {
      const end = await runOnce(self);
      if (end === 'reboot') {
        say('the machine goes down');
        await sleep(60_000, undefined, { signal: stop.signal });
        return 0;
      }
      failures = 0;
    } catch (error) {
      if (stop.signal.aborted) break;
      failures = Date.now() - began > 60_000 ? 1 : failures + 1;
      const wait = PATIENCE_MS[Math.min(failures, PATIENCE_MS.length) - 1];
      say(`${describe(error)}; trying again in ${wait / 1000} s`);
      await sleep(wait, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  }
  return 0;
}

async function runOnce(self) {
  const session = await hello(self);
  const manifest = JSON.parse(await get(self, session, '/agent/v1/bundle'));
  const dir = await install(self, session, manifest);
  const { run } = await import(pathToFileURL(join(dir, manifest.entry)).href);
  say(`agent ${manifest.digest.slice(0, 12)} starts`);
  return await run({
    url: self.url,
    where: self.where,
    bootId: self.bootId,
    ...self.secret,
    resume: session,
    ...(self.server === undefined ? {} : { server: self.server }),
    ...(self.generation === undefined ? {} : { generation: self.generation }),
    stateDir: self.stateDir,
    root: '/',
    bundle: manifest.digest,
    loader: process.argv[1],
    node: process.execPath,
    print: say,
    onSession: (token) => keepSession(self, token),
    signal: stop.signal,
  });
}

/** Who this machine is, from the one file that fits where we run. */
async function whoAmI() {
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const at = process.argv.indexOf('--state');
  if (at === -1) {
    const { url, nonce } = JSON.parse(await readFile(SESSION_FILE, 'utf8'));
    const resume = await readFile(join(RUN_DIR, 'session'), 'utf8').catch(() => undefined);
    const base = { url, where: 'ramdisk', bootId, secret: { nonce }, resume };
    return { ...base, stateDir: join(RUN_DIR, 'state'), bundles: join(RUN_DIR, 'bundles') };
  }
  const dir = resolve(process.argv[at + 1] ?? '/var/lib/overdub');
  const { url, credential, server, generation } = JSON.parse(
    await readFile(join(dir, 'credential.json'), 'utf8'),
  );
  const base = { url, where: 'server', bootId, secret: { credential }, server, generation };
  return { ...base, stateDir: join(dir, 'state'), bundles: join(dir, 'bundles') };
}

/** A session token. A nonce works once a boot; after that an earlier session of this boot does. */
async function hello(self) {
  const about = {
    protocol: PROTOCOL,
    where: self.where,
    bootId: self.bootId,
    ...(self.server === undefined ? {} : { server: self.server }),
    ...(self.generation === undefined ? {} : { generation: self.generation }),
  };
  const attempt = async (secret) =>
    JSON.parse(
      await fetchBytes(
        self.url,
        'POST',
        '/agent/v1/hello',
        undefined,
        JSON.stringify({ ...about, ...secret }),
      ),
    );
  let welcome;
  try {
    welcome = await attempt(self.secret);
  } catch (error) {
    if (error.code !== 'UNAUTHORIZED' || self.resume === undefined) throw error;
    welcome = await attempt({ resume: self.resume });
  }
  await keepSession(self, welcome.session);
  const name = welcome.machineName ?? welcome.server ?? 'this machine';
  say(
    welcome.standing === 'held'
      ? `${name}: held: waiting for an administrator`
      : `${name}: ${welcome.standing}`,
  );
  return welcome.session;
}

async function keepSession(self, token) {
  self.resume = token;
  if (self.where !== 'ramdisk') return;
  await mkdir(RUN_DIR, { recursive: true, mode: 0o700 });
  await writeFile(join(RUN_DIR, 'session'), token, { mode: 0o600 });
}

/** Puts the bundle into a directory of its own, each file verified; reuses what is there and still right. */
async function install(self, session, manifest) {
  if (!/^[0-9a-f]{64}$/.test(manifest.digest)) throw new Error('the bundle has no digest');
  const dir = join(self.bundles, manifest.digest);
  for (const file of manifest.files) {
    const path = inside(dir, file.path);
    const there = await readFile(path).catch(() => undefined);
    if (there !== undefined && digestOf(there) === file.digest) continue;
    if (!/^[0-9a-f]{64}$/.test(file.digest)) throw new Error(`the bundle names no digest for ${file.path}`);
    const packed = await get(self, session, `/agent/v1/bundle/${file.digest}`);
    const bytes = zstdDecompressSync(packed, { maxOutputLength: MAX_ANSWER_BYTES });
    if (digestOf(bytes) !== file.digest) throw new Error(`${file.path} of the bundle arrived damaged`);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(`${path}.part`, bytes, { mode: file.mode & 0o755 });
    await rename(`${path}.part`, path);
  }
  inside(dir, manifest.entry);
  await removeOthers(self.bundles, manifest.digest);
  return dir;
}

async function removeOthers(bundles, digest) {
  for (const name of await readdir(bundles)) {
    if (name !== digest) await rm(join(bundles, name), { recursive: true, force: true });
  }
}

function inside(dir, path) {
  const full = resolve(dir, path);
  if (!full.startsWith(dir + sep)) throw new Error(`the bundle names the path ${path}, which leaves it`);
  return full;
}

function digestOf(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}

function get(self, session, path) {
  return fetchBytes(self.url, 'GET', path, session);
}

/** The whole answer. Rejects with the appliance's own words where it has some. */
function fetchBytes(base, method, path, bearer, body) {
  const url = new URL(path.slice(1), base.endsWith('/') ? base : `${base}/`);
  const make = url.protocol === 'https:' ? httpsRequest : httpRequest;
  const headers = {
    ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
    ...(body === undefined
      ? {}
      : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
  };
  return new Promise((done, fail) => {
    const request = make(url, { method, headers, timeout: 60_000, signal: stop.signal }, (answer) => {
      const parts = [];
      let bytes = 0;
      answer.on('data', (part) => {
        parts.push(part);
        bytes += part.length;
        if (bytes > MAX_ANSWER_BYTES) request.destroy(new Error('the answer is too long'));
      });
      answer.once('error', fail);
      answer.once('end', () => {
        const whole = Buffer.concat(parts);
        if (answer.statusCode < 300) done(whole);
        else fail(refusal(answer.statusCode, whole, base));
      });
    });
    request.once('timeout', () => request.destroy(new Error(`${base} is silent`)));
    request.once('error', fail);
    request.end(body);
  });
}

function refusal(status, body, base) {
  try {
    const { error } = JSON.parse(body.toString('utf8'));
    return Object.assign(new Error(`${error.message} ${error.remedy}`), { code: error.code });
  } catch {
    return new Error(`${base} answered with HTTP status ${status}; is an Overdub appliance there?`);
  }
}

function describe(error) {
  return error instanceof Error ? error.message : String(error);
}

function say(line) {
  process.stdout.write(`overdub: ${line}\n`);
}
