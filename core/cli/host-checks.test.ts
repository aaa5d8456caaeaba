import { createSocket } from 'node:dgram';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Check, hostChecks, nodeCheck } from './host-checks.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'overdub-doctor-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const look = (over: Partial<Parameters<typeof hostChecks>[0]> = {}) =>
  hostChecks({ plugins: new Set(), http: { port: 0 }, state: join(folder, 'not', 'yet'), ...over });
const find = (checks: readonly Check[], name: string) => checks.find((check) => check.name.startsWith(name));

test('a plain appliance needs Node, Linux, a state directory and one TCP port', async () => {
  const checks = await look();
  expect(checks.map(({ name, ok }) => [name, ok])).toEqual([
    ['node', true],
    ['system', true],
    ['state directory', expect.any(Boolean)],
    ['port TCP 127.0.0.1:0', true],
  ]);
});

test('boot plugins add their ports and packages', async () => {
  const names = (await look({ plugins: new Set(['boot-pxe', 'boot-ipxe']) })).map(({ name }) => name);
  expect(names).toEqual(
    expect.arrayContaining(['package ipxe', 'port UDP 67', 'port UDP 69', 'port UDP 4011']),
  );
});

test('a taken TCP port is told, with what to do', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const check = find(await look({ http: { port } }), 'port TCP');
  server.close();
  expect(check).toMatchObject({ ok: false, required: true, detail: 'taken by another program' });
  expect(check?.remedy).toContain('ss -lnp');
});

test('a taken UDP port is told', async () => {
  const socket = createSocket('udp4');
  const bound = await new Promise<boolean>((resolve) => {
    socket.once('error', () => resolve(false));
    socket.bind({ port: 4011, exclusive: true }, () => resolve(true));
  });
  const check = find(await look({ plugins: new Set(['boot-pxe']) }), 'port UDP 4011');
  if (bound) socket.close();
  expect(check).toMatchObject({ ok: false, detail: 'taken by another program' });
});

test('a state directory that is a file is told', async () => {
  const file = join(folder, 'file');
  await writeFile(file, '');
  expect(find(await look({ state: file }), 'state directory')).toMatchObject({ ok: false, required: true });
});

test.each([
  ['20.20.2', false],
  ['22.17.1', false],
  ['22.18.0', true],
  ['24.21.0', true],
])('Node %s is enough: %s', (version, ok) => {
  expect(nodeCheck(version).ok).toBe(ok);
});
