/**
 * The contract of booting: every file that any answer names is served. Asks a whole appliance as each kind of client of
 * each architecture for each plan, collects the names in DHCP answers and scripts, and fetches them as that client would.
 */

import dgram from 'node:dgram';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import agent from '@overdub/agent';
import ipxe from '@overdub/boot-ipxe';
import pxe from '@overdub/boot-pxe';
import { type Appliance, type BootPlan, createAppliance, definePlugin } from '@overdub/core';
import { MemoryBlobStore } from '@overdub/core/testing';
import {
  type DhcpPacket,
  decodeDhcp,
  encodeDhcp,
  encodeSubOptions,
  MESSAGE,
  OPTION,
  openUdp,
  textOption,
} from '@overdub/lib-netboot';
import { Type } from 'typebox';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fetchTftp } from '../../plugins/lib-netboot/tftp/test-client.ts';

const ADDRESS = '127.0.0.1';
const MAC = '52:54:00:00:00:01';
type Options = readonly (readonly [number, Uint8Array])[];

const ARCHITECTURES = [undefined, 0, 6, 7, 9, 11, 16, 19] as const;
const BOOTABLE: ReadonlySet<number | undefined> = new Set([undefined, 0, 7, 9, 16]);
const ipxeFeatures = (...codes: number[]): Options => [
  [OPTION.ipxe, encodeSubOptions(codes.map((code) => [code, Uint8Array.of(1)]))],
];
const CLIENTS: Readonly<Record<string, Options>> = {
  firmware: [],
  'iPXE by its user class': [[OPTION.userClass, Buffer.from('iPXE')]],
  'iPXE by its options': ipxeFeatures(18, 19),
  'iPXE without HTTP': ipxeFeatures(18),
};
const PLANS: readonly BootPlan['kind'][] = ['ramdisk', 'local', 'silent'];

describe.each(['ipxe.efi', 'snponly.efi'] as const)('with %s for UEFI', (uefi) => {
  let directory: string;
  let appliance: Appliance;
  let plan: BootPlan['kind'] = 'ramdisk';
  let ports: { server: number; client: number; proxy: number; tftp: number };

  beforeAll(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'overdub-names-'));
    await putBinaries(path.join(directory, 'ipxe'));
    await putRamdisk(path.join(directory, 'ramdisk'));
    ports = await freePorts();
    const { tftp, ...dhcp } = ports;
    appliance = await createAppliance(
      {
        http: { host: ADDRESS, port: 0 },
        plugins: [
          own('storage-memory', (ctx) =>
            ctx.hooks.storage.open.tap(() => new MemoryBlobStore({ blobs: new Map() })),
          ),
          own('boot-test', (ctx) => ctx.hooks.boot.plan.tap(() => plan)),
          agent({ ramdisk: path.join(directory, 'ramdisk') }),
          pxe({ interface: 'lo', ports: dhcp, tftp: { port: tftp } }),
          ipxe({ directory: path.join(directory, 'ipxe'), uefi }),
        ],
      },
      { stateDir: path.join(directory, 'state'), log: { debug() {}, info() {}, warn() {}, error() {} } },
    );
    await appliance.start();
  });
  afterAll(async () => {
    await appliance?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  const cases = Object.keys(CLIENTS).flatMap((client) =>
    ARCHITECTURES.flatMap((arch) => PLANS.map((kind) => [client, arch, kind] as const)),
  );
  test.each(cases)('%s, architecture %s, plan %s', async (client, arch, kind) => {
    plan = kind;
    const served = kind === 'ramdisk' && BOOTABLE.has(arch);
    const answer = await ask(CLIENTS[client] as Options, arch, served ? 20_000 : 80);
    expect(answer !== undefined).toBe(served);
    if (answer === undefined) return;
    expect(answer.siaddr).toBe(ADDRESS);
    expect(textOption(answer, OPTION.tftpServerName)).toBe(ADDRESS);
    const names = new Set([answer.file, textOption(answer, OPTION.bootFile) ?? '']);
    expect(names.size).toBe(1);
    const fetched: string[] = [];
    for (const name of names) await follow(name, fetched);
    expect(fetched.length).toBe(client.startsWith('iPXE by') ? 4 : 3);
  });

  test('the script of a machine that is to boot its disk names nothing; a silent one has none', async () => {
    const url = `${appliance.url}/boot/ipxe/script?mac=${MAC}&arch=uefi-x86_64`;
    plan = 'local';
    expect(namesIn(await (await fetch(url)).text())).toEqual([]);
    plan = 'silent';
    expect((await fetch(url)).status).toBe(404);
  });

  /** Fetches what a name stands for, and all that it names in turn. */
  async function follow(name: string, fetched: string[]): Promise<void> {
    if (fetched.includes(name)) return;
    fetched.push(name);
    const url = /^https?:/.test(name);
    const content = url ? await byHttp(name) : await byTftp(name);
    expect([name, content.length > 0]).toEqual([name, true]);
    if (content.subarray(0, 6).toString() === '#!ipxe') {
      for (const next of namesIn(content.toString())) await follow(next, fetched);
    } else if (!url) {
      expect((await byHttp(`${appliance.url}/boot/${name}`)).equals(content)).toBe(true);
      // iPXE 2 asks for this beside its binary, then at the root.
      for (const each of [path.posix.join(path.posix.dirname(name), 'autoexec.ipxe'), 'autoexec.ipxe'])
        await follow(each, fetched);
    }
  }

  async function byTftp(name: string): Promise<Buffer> {
    return (await fetchTftp({ port: ports.tftp, name, options: { blksize: '1468', tsize: '0' } })).content;
  }

  async function byHttp(url: string): Promise<Buffer> {
    const response = await fetch(url);
    expect([url, response.status]).toEqual([url, 200]);
    return Buffer.from(await response.arrayBuffer());
  }

  /** A REQUEST to the boot-server port; `undefined` when nobody answers in time. */
  async function ask(
    client: Options,
    arch: number | undefined,
    waitMs: number,
  ): Promise<DhcpPacket | undefined> {
    const socket = await openUdp({ address: ADDRESS, port: 0 });
    try {
      const answer = once(socket, 'message', { signal: AbortSignal.timeout(waitMs) });
      socket.send(question(client, arch), ports.proxy, ADDRESS);
      const [bytes] = (await answer) as [Uint8Array];
      return decodeDhcp(bytes).packet;
    } catch (error) {
      if ((error as Error).name === 'AbortError') return undefined;
      throw error;
    } finally {
      socket.close();
    }
  }
});

/** Every URL of a script's commands. */
function namesIn(script: string): readonly string[] {
  return script.split('\n').flatMap((line) => line.match(/https?:\/\/\S+/g) ?? []);
}

function question(client: Options, arch: number | undefined): Uint8Array {
  const code = String(arch ?? 0).padStart(5, '0');
  return encodeDhcp({
    op: 1,
    xid: 1,
    chaddr: Uint8Array.from(MAC.split(':').map((byte) => Number.parseInt(byte, 16))),
    options: [
      [OPTION.messageType, Uint8Array.of(MESSAGE.request)],
      [
        OPTION.vendorClass,
        Buffer.from(arch === undefined ? 'PXEClient' : `PXEClient:Arch:${code}:UNDI:003016`),
      ],
      ...(arch === undefined ? [] : [[OPTION.clientArchitecture, Uint8Array.of(0, arch)] as const]),
      ...client,
    ],
  }).bytes;
}

function own(name: string, apply: (ctx: Parameters<Parameters<typeof definePlugin>[0]['apply']>[0]) => void) {
  return definePlugin({
    name,
    apiVersion: '^1.0.0',
    options: Type.Object({}),
    apply: (ctx) => {
      apply(ctx);
      return undefined;
    },
  })();
}

async function putBinaries(home: string): Promise<void> {
  await mkdir(home);
  for (const name of ['undionly.kpxe', 'ipxe.efi', 'snponly.efi'])
    await writeFile(path.join(home, name), `the binary ${name} `.repeat(200));
}

async function putRamdisk(home: string): Promise<void> {
  await mkdir(home);
  const files: Record<string, { bytes: number; sha256: string }> = {};
  for (const name of ['vmlinuz', 'initrd']) {
    const content = name.repeat(50_000);
    await writeFile(path.join(home, name), content);
    files[name] = { bytes: content.length, sha256: name };
  }
  const info = { digest: 'd', arch: 'x86_64', kernel: '6', files, packages: [] };
  await writeFile(path.join(home, 'ramdisk.json'), JSON.stringify(info));
}

async function freePorts(): Promise<{ server: number; client: number; proxy: number; tftp: number }> {
  const sockets = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const socket = dgram.createSocket('udp4');
      await new Promise<void>((resolve) => socket.bind(0, ADDRESS, resolve));
      return socket;
    }),
  );
  const [server = 0, client = 0, proxy = 0, tftp = 0] = sockets.map((socket) => socket.address().port);
  for (const socket of sockets) socket.close();
  return { server, client, proxy, tftp };
}
