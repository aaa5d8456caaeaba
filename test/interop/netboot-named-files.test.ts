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
import grub from '@overdub/boot-grub';
import http from '@overdub/boot-http';
import ipxe from '@overdub/boot-ipxe';
import pxe from '@overdub/boot-pxe';
import pxelinux from '@overdub/boot-pxelinux';
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
import { putPxelinux, putSignedGrub } from '../../plugins/lib-boot/testing/index.ts';
import { fetchTftp } from '../../plugins/lib-netboot/tftp/test-client.ts';

const ADDRESS = '127.0.0.1';
const MAC = '52:54:00:00:00:01';
type Options = readonly (readonly [number, Uint8Array])[];

const ARCHITECTURES = [undefined, 0, 6, 7, 9, 11, 15, 16, 19] as const;
const X86: ReadonlySet<number | undefined> = new Set([7, 9, 16]);
const ARM: ReadonlySet<number | undefined> = new Set([11, 19]);
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

const HTTP_BOOT = 'HTTP Boot';

/** What is another one at each request. */
const ONE_BOOT = /\/machine\/|\.cfg\/|^pxelinux\/[\d.]+\/session\//;

/** What the appliance under test gives UEFI machines, and BIOS ones. */
const LOADERS = {
  'ipxe.efi': { ipxe: 'ipxe.efi', grub: undefined, bios: undefined },
  'snponly.efi': { ipxe: 'snponly.efi', grub: undefined, bios: 'tftp' },
  'shim and GRUB': { ipxe: 'ipxe.efi', grub: 'grub', bios: 'http' },
} as const;

describe.each(Object.entries(LOADERS))('with %s for UEFI, %j', (_, loaders) => {
  let directory: string;
  let appliance: Appliance;
  let plan: BootPlan['kind'] = 'ramdisk';
  let ports: { server: number; client: number; proxy: number; tftp: number };

  beforeAll(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'overdub-names-'));
    await putBinaries(path.join(directory, 'ipxe'));
    await putSignedGrub(path.join(directory, 'packages'), 'x86_64', 'x64');
    await putSignedGrub(path.join(directory, 'packages'), 'arm64', 'aa64');
    await putPxelinux(path.join(directory, 'packages'));
    await putRamdisk(path.join(directory, 'ramdisk'));
    const packages = path.join(directory, 'packages');
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
          ipxe({ directory: path.join(directory, 'ipxe'), uefi: loaders.ipxe }),
          http({ files: { x86: `ipxe/${loaders.ipxe}` } }),
          ...(loaders.bios === undefined
            ? []
            : [pxelinux({ packages, bios: 'pxelinux', transfer: loaders.bios })]),
          ...(loaders.grub === undefined ? [] : [grub({ packages, arm: packages })]),
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

  /** How many files the client ends up with, each named by the one before; 0 where nobody answers. */
  function filesFor(client: string, arch: number | undefined): number {
    const bios = arch === undefined || arch === 0;
    // PXELINUX, three modules, its configuration, and the ramdisk's three files.
    if (bios && client !== HTTP_BOOT && loaders.bios !== undefined) return 8;
    if (client === HTTP_BOOT) return X86.has(arch) ? 1 : 0;
    if (client.startsWith('iPXE by')) return bios || X86.has(arch) ? 4 : 0;
    if (loaders.grub !== undefined && X86.has(arch)) return 8;
    // There is no ramdisk for it: GRUB's configuration says so, and names nothing.
    if (loaders.grub !== undefined && ARM.has(arch)) return 5;
    return bios || X86.has(arch) ? 3 : 0;
  }

  const cases = [...Object.keys(CLIENTS), HTTP_BOOT].flatMap((client) =>
    ARCHITECTURES.flatMap((arch) => PLANS.map((kind) => [client, arch, kind] as const)),
  );
  test.each(cases)('%s, architecture %s, plan %s', async (client, arch, kind) => {
    plan = kind;
    const expected = kind === 'ramdisk' ? filesFor(client, arch) : 0;
    const answer = await ask(client, arch, expected > 0 ? 20_000 : 80);
    expect(answer !== undefined).toBe(expected > 0);
    if (answer === undefined) return;
    expect(answer.siaddr).toBe(ADDRESS);
    if (client !== HTTP_BOOT) expect(textOption(answer, OPTION.tftpServerName)).toBe(ADDRESS);
    const names = new Set([answer.file, textOption(answer, OPTION.bootFile) ?? '']);
    expect(names.size).toBe(1);
    const fetched: string[] = [];
    for (const name of names) await follow(name, fetched);
    expect(fetched).toHaveLength(expected);
  });

  test('the script of a machine that is to boot its disk names nothing; a silent one has none', async () => {
    const url = `${appliance.url}/boot/ipxe/script?mac=${MAC}&arch=uefi-x86_64`;
    plan = 'local';
    expect(namesIn(await (await fetch(url)).text())).toEqual([]);
    const bios = url.replace('uefi-x86_64', 'bios-x86');
    // Where its disk does not start, it asks again.
    expect(namesIn(await (await fetch(bios)).text())).toEqual([bios]);
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
    const cpu = fetched.includes('grub/shimaa64.efi') ? 'arm64' : 'x86_64';
    for (const next of namedBy(name, content, cpu)) await follow(next, fetched);
    if (!url && !ONE_BOOT.test(name)) {
      expect((await byHttp(`${appliance.url}/boot/${name}`)).equals(content)).toBe(true);
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
    client: string,
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

/** What a client that has this file asks for next. */
function namedBy(name: string, content: Buffer, grubCpu: string): readonly string[] {
  if (content.subarray(0, 6).toString() === '#!ipxe') return namesIn(content.toString());
  const [, cpu] = /^grub\/(?:shim|grub|mm)(x64|aa64)\.efi$/.exec(name) ?? [];
  // shim's neighbours, and what GRUB itself asks for.
  if (name.startsWith('grub/shim')) return [`grub/grub${cpu}.efi`, `grub/mm${cpu}.efi`];
  if (name.startsWith('grub/grub') && cpu !== undefined) return ['grub/grub.cfg'];
  if (name.endsWith('pxelinux.0')) return besidePxelinux(name);
  if (name.includes('/pxelinux.cfg/')) return namesInPxelinux(content.toString());
  if (name.endsWith('.cfg')) return namesInGrub(content.toString(), grubCpu);
  // iPXE 2 asks for this beside its binary, then at the root.
  return name.startsWith('ipxe/') ? ['ipxe/autoexec.ipxe', 'autoexec.ipxe'] : [];
}

/** What PXELINUX asks for beside itself, `reboot.c32` included, which configurations name. */
function besidePxelinux(name: string): readonly string[] {
  const home = path.posix.dirname(name);
  const modules = ['ldlinux.c32', 'libcom32.c32', 'reboot.c32'];
  return [...modules, `pxelinux.cfg/01-${MAC.replaceAll(':', '-')}`].map((file) => `${home}/${file}`);
}

/** Every file that a PXELINUX configuration loads, by URL or, behind `::`, by TFTP. */
function namesInPxelinux(configuration: string): readonly string[] {
  const files = configuration.match(/(?:LINUX |initrd=)\S+/g) ?? [];
  return files
    .flatMap((file) => file.replace(/^(?:LINUX |initrd=)/, '').split(','))
    .map((file) => file.replace(/^::/, ''));
}

/** Every file of a GRUB configuration's commands, as GRUB on such a machine reads it. */
function namesInGrub(configuration: string, grubCpu: string): readonly string[] {
  const variables: Readonly<Record<string, string>> = {
    net_default_server: ADDRESS,
    net_default_mac: MAC,
    grub_cpu: grubCpu,
  };
  const text = configuration.replace(/\$(\w+)/g, (whole, name: string) => variables[name] ?? whole);
  return [...text.matchAll(/\(tftp,127\.0\.0\.1\)\/([^\s;]+)/g)].map((match) => match[1] as string);
}

function question(client: string, arch: number | undefined): Uint8Array {
  const code = String(arch ?? 0).padStart(5, '0');
  const kind = client === HTTP_BOOT ? 'HTTPClient' : 'PXEClient';
  return encodeDhcp({
    op: 1,
    xid: 1,
    chaddr: Uint8Array.from(MAC.split(':').map((byte) => Number.parseInt(byte, 16))),
    options: [
      [OPTION.messageType, Uint8Array.of(MESSAGE.request)],
      [OPTION.vendorClass, Buffer.from(arch === undefined ? kind : `${kind}:Arch:${code}:UNDI:003016`)],
      ...(arch === undefined ? [] : [[OPTION.clientArchitecture, Uint8Array.of(0, arch)] as const]),
      ...(CLIENTS[client] ?? []),
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
