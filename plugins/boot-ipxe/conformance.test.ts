import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { BootAnswer, BootRequest } from '@overdub/core';
import { collectBytes } from '@overdub/core/testing';
import fastify from 'fastify';
import { Check } from 'typebox/value';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { applyBootPlugin, MAC, planRenderedBy, renderRequest } from '../lib-boot/testing/index.ts';
import ipxe from './index.ts';
import { IpxeOptions } from './options.ts';
import { renderBoot } from './render.ts';

const UUID = '00112233-4455-6677-0809-0a0b0c0d0e0f';
const input = (more: Partial<BootRequest>) => renderRequest({ uuid: UUID, arch: 'bios-x86', ...more });

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'overdub-ipxe-'));
  for (const file of ['undionly.kpxe', 'ipxe.efi', 'secret'])
    await writeFile(path.join(directory, file), `<${file}>`);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const applied = (options: IpxeOptions, answer?: (request: BootRequest) => BootAnswer) =>
  applyBootPlugin(ipxe(options), options, answer && { answer });

test('the plugin is named like its folder, taps render and artifact, and contributes one route', () => {
  const { definition, contributions, taps } = applied({});
  expect(definition.name).toBe('boot-ipxe');
  expect(Object.keys(taps).sort()).toEqual(['artifact', 'render']);
  expect(contributions?.routes?.map((route) => route.prefix)).toEqual(['/boot/ipxe']);
});

test.each<[unknown, boolean]>([
  [{}, true],
  [{ directory: '/srv/ipxe', uefi: 'snponly.efi' }, true],
  [{ menu: { seconds: 10 } }, true],
  [{ menu: { seconds: 0 } }, false],
  [{ menu: { seconds: 601 } }, false],
  [{ menu: {} }, false],
  [{ menu: { seconds: 10, title: 'x' } }, false],
  [{ dir: '/srv' }, false],
  [{ uefi: 'grub.efi' }, false],
])('options %j are valid: %s', (options, valid) => expect(Check(IpxeOptions, options)).toBe(valid));

describe('render', () => {
  test.each<[string, Partial<BootRequest>, IpxeOptions, unknown]>([
    ['BIOS firmware', {}, {}, { kind: 'file', name: 'ipxe/undionly.kpxe' }],
    ['UEFI firmware', { arch: 'uefi-x86_64' }, {}, { kind: 'file', name: 'ipxe/ipxe.efi' }],
    [
      'UEFI with snponly',
      { arch: 'uefi-x86_64' },
      { uefi: 'snponly.efi' },
      { kind: 'file', name: 'ipxe/snponly.efi' },
    ],
    ['arm64', { arch: 'uefi-arm64' }, {}, undefined],
    ['an unknown architecture', { arch: 'unknown' }, {}, undefined],
    ['HTTP Boot', { client: 'http', arch: 'uefi-x86_64' }, {}, undefined],
  ])('%s', (_, more, options, expected) => expect(renderBoot(input(more), options)).toEqual(expected));

  test('iPXE asking DHCP gets its script’s URL, short enough for the BOOTP file field', () => {
    const name = `http://10.0.0.1:7077/boot/ipxe/script?mac=${MAC}&uuid=${UUID}&arch=bios-x86`;
    expect(renderBoot(input({ client: 'ipxe' }), {})).toEqual({ kind: 'file', name });
    expect(renderBoot(input({ client: 'ipxe', stage: 'dhcp' }), {})).toEqual({ kind: 'file', name });
    expect(name.length).toBeLessThan(128);
  });

  test('with the option, the ramdisk’s script begins with a menu', () => {
    const rendered = renderBoot(input({ client: 'ipxe', stage: 'script' }), { menu: { seconds: 5 } });
    expect(rendered).toMatchObject({ text: expect.stringMatching(/^#!ipxe\nmenu Overdub\nitem ramdisk /) });
  });

  test('iPXE asking by HTTP gets the script', () => {
    const rendered = renderBoot(input({ client: 'ipxe', stage: 'script' }), {});
    expect(rendered).toMatchObject({
      kind: 'script',
      text: expect.stringMatching(/^#!ipxe\n[\s\S]*session\/Abc_-9\.cpio/),
    });
  });
});

describe('artifacts', () => {
  test('binaries are served whole and by range', async () => {
    const artifact = (await applied({ directory }).taps.artifact({ name: 'ipxe/ipxe.efi' })) as {
      bytes: number;
      etag: string;
      read(range?: { offset: number; length: number }): AsyncIterable<Uint8Array>;
    };
    expect(artifact.bytes).toBe(10);
    expect(artifact.etag).toMatch(/^"[^"]+"$/);
    expect(String(await collectBytes(artifact.read()))).toBe('<ipxe.efi>');
    expect(String(await collectBytes(artifact.read({ offset: 1, length: 4 })))).toBe('ipxe');
    expect(String(await collectBytes(artifact.read({ offset: 1, length: 0 })))).toBe('');
  });

  test.each(['autoexec.ipxe', 'ipxe/autoexec.ipxe'])('%s is a script', async (name) => {
    const artifact = await applied({ directory }).taps.artifact({ name });
    expect(artifact).toMatchObject({ contentType: expect.stringMatching(/^text\/plain/) });
  });

  test.each([
    'ipxe/secret',
    'ipxe/../secret',
    'ipxe/',
    'ipxe.efi',
    'ipxe/snponly.efi',
    'ramdisk/x86_64/vmlinuz',
  ])('%s is not served', async (name) =>
    expect(await applied({ directory }).taps.artifact({ name })).toBeUndefined(),
  );

  test('a missing package fails the start, and names it', async () => {
    const { definition, ctx } = applied({});
    await expect(definition.start?.(ctx, { directory: path.join(directory, 'none') })).rejects.toMatchObject({
      code: 'PREREQUISITE_MISSING',
      remedy: expect.stringMatching(/Debian package ipxe/),
    });
    await expect(definition.start?.(ctx, { directory })).resolves.toBeUndefined();
    await expect(definition.start?.(ctx, { directory, uefi: 'snponly.efi' })).rejects.toMatchObject({
      message: expect.stringMatching(/snponly\.efi/),
    });
  });
});

describe('GET /boot/ipxe/script', () => {
  async function get(
    query: string,
    answer?: (request: BootRequest) => BootAnswer,
    host = '10.0.0.1:7077',
    options: IpxeOptions = {},
  ) {
    const plugin = applied({ directory, ...options }, answer);
    const replies = [];
    for (const prefix of [undefined, '/boot/ipxe']) {
      const app = fastify();
      const [route] = plugin.contributions?.routes ?? [];
      if (prefix === undefined) await route?.register(app);
      else await app.register(async (scope) => route?.register(scope), { prefix });
      replies.push(await app.inject({ url: `/boot/ipxe/script?${query}`, headers: { host } }));
      await app.close();
    }
    const [plain, prefixed] = replies;
    expect(prefixed?.statusCode).toBe(plain?.statusCode);
    return { reply: plain as NonNullable<typeof plain>, asked: plugin.asked };
  }
  const rendered = planRenderedBy(renderBoot, {});

  test('asks the core as iPXE and answers with the script, under the URL the client used', async () => {
    const { reply, asked } = await get(
      `mac=${MAC}&uuid=${UUID.toUpperCase()}&arch=uefi-x86_64`,
      rendered,
      'box.lan:99',
    );
    expect(reply.statusCode).toBe(200);
    expect(reply.headers['content-type']).toMatch(/^text\/plain/);
    expect(reply.headers['cache-control']).toBe('no-store');
    expect(reply.body).toContain('http://box.lan:99/boot/ramdisk/x86_64/vmlinuz');
    expect(asked[0]).toMatchObject({
      mac: MAC,
      uuid: UUID,
      arch: 'uefi-x86_64',
      client: 'ipxe',
      stage: 'script',
      ip: '127.0.0.1',
    });
  });

  test('iPXE’s own platform names work in hand-written chains; a useless UUID is left out', async () => {
    const { asked } = await get(
      `mac=52-54-00-00-00-01&uuid=00000000-0000-0000-0000-000000000000&arch=pcbios`,
      rendered,
    );
    expect(asked[0]).toMatchObject({ mac: MAC, arch: 'bios-x86' });
    expect(asked[0]).not.toHaveProperty('uuid');
  });

  test('local disk and rejected machines', async () => {
    const local = await get(`mac=${MAC}&arch=bios-x86`, () => ({
      machine: undefined,
      plan: { kind: 'local' },
    }));
    expect(local.reply.body).toContain('sanboot');
    const silent = await get(`mac=${MAC}&arch=bios-x86`, () => ({
      machine: undefined,
      plan: { kind: 'silent', reason: 'rejected' },
    }));
    expect([silent.reply.statusCode, silent.reply.body]).toEqual([404, 'nothing to boot for this machine\n']);
  });

  test('a machine that is to boot its disk is told where to ask again, and has the menu', async () => {
    const local = (): BootAnswer => ({ machine: undefined, plan: { kind: 'local' } });
    const query = `mac=${MAC}&uuid=${UUID}&arch=bios-x86`;
    const { reply } = await get(query, local, 'box.lan:99', { menu: { seconds: 3 } });
    expect(reply.body).toContain(`chain --replace --autofree http://box.lan:99/boot/ipxe/script?${query} ||`);
    expect(reply.body).toContain('choose --default disk --timeout 3000 ');
  });

  test.each([
    ['no MAC', 'arch=bios-x86', '10.0.0.1', /`mac`/],
    ['a MAC twice', `mac=${MAC}&mac=${MAC}&arch=bios-x86`, '10.0.0.1', /`mac`/],
    ['no architecture', `mac=${MAC}`, '10.0.0.1', /`arch` must be one of bios-x86/],
    ['an inherited name as architecture', `mac=${MAC}&arch=constructor`, '10.0.0.1', /`arch`/],
    ['an injecting Host header', `mac=${MAC}&arch=bios-x86`, 'x || shell', /Host header/],
  ])('%s: 400, in words, and the core is not asked', async (_, query, host, message) => {
    const { reply, asked } = await get(query, rendered, host);
    expect(reply.statusCode).toBe(400);
    expect(reply.body).toMatch(message);
    expect(asked).toEqual([]);
  });
});
