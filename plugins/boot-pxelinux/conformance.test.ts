import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type BootAnswer, OverdubError } from '@overdub/core';
import { textArtifact } from '@overdub/lib-boot';
import { Check } from 'typebox/value';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { applyBootPlugin, MAC, planRenderedBy, putPxelinux } from '../lib-boot/testing/index.ts';
import pxelinux from './index.ts';
import { PxelinuxOptions } from './options.ts';
import { renderBoot } from './render.ts';

const NAME = 'pxelinux/10.0.0.1/pxelinux.cfg/01-52-54-00-00-00-01';
const SESSION = 'pxelinux/10.0.0.1/session/01-52-54-00-00-00-01.cpio';
let tree: string;
beforeEach(async () => {
  tree = await mkdtemp(path.join(os.tmpdir(), 'overdub-pxelinux-'));
  await putPxelinux(tree);
});
afterEach(() => rm(tree, { recursive: true, force: true }));

/** Over a core that answers as told, and serves `served`. */
const applied = (options: PxelinuxOptions, answer?: BootAnswer, served: readonly string[] = []) =>
  applyBootPlugin(pxelinux(options), options, {
    answer: (request) => answer ?? planRenderedBy(renderBoot, options)(request),
    async artifact(name) {
      if (served.includes(name)) return textArtifact(`<${name}>`);
      throw new OverdubError('NOT_FOUND', 'There is no complete ramdisk.', 'Build it.');
    },
  });

test('the plugin is named like its folder, and asked before boot-ipxe', () => {
  const { definition, stages } = applied({});
  expect(definition.name).toBe('boot-pxelinux');
  expect(stages.render).toBeLessThan(0);
});

test.each<[unknown, boolean]>([
  [{}, true],
  [{ bios: 'pxelinux', transfer: 'tftp', packages: '/srv/x' }, true],
  [{ bios: 'grub' }, false],
  [{ transfer: 'ftp' }, false],
  [{ uefi: 'pxelinux' }, false],
])('options %j are valid: %s', (options, valid) => expect(Check(PxelinuxOptions, options)).toBe(valid));

describe('binaries', () => {
  test.each([
    ['pxelinux/10.0.0.1/lpxelinux.0', '<lpxelinux.0>'],
    ['pxelinux/10.0.0.1/pxelinux.0', '<pxelinux.0>'],
    ['pxelinux/10.0.0.1/ldlinux.c32', '<ldlinux.c32>'],
    ['pxelinux/10.0.0.1/libcom32.c32', '<libcom32.c32>'],
    ['pxelinux/10.0.0.1/reboot.c32', '<reboot.c32>'],
    ['pxelinux/10.0.0.1/menu.c32', undefined],
    ['pxelinux/300.0.0.1/ldlinux.c32', undefined],
    ['pxelinux/10.0.0.1/../ldlinux.c32', undefined],
    ['pxelinux/ldlinux.c32', undefined],
    ['ldlinux.c32', undefined],
  ])('%s: %s', async (name, content) => expect(await applied({ packages: tree }).text(name)).toBe(content));

  test('missing packages fail the start, and are named', async () => {
    const { definition, ctx } = applied({});
    await expect(definition.start?.(ctx, { packages: tree })).resolves.toBeUndefined();
    await rm(path.join(tree, 'usr/lib/syslinux/modules/bios/reboot.c32'));
    await expect(definition.start?.(ctx, { packages: tree })).rejects.toMatchObject({
      code: 'PREREQUISITE_MISSING',
      message: expect.stringMatching(/reboot\.c32 is not there/),
      remedy: expect.stringMatching(/dpkg -x/),
    });
  });
});

describe('the session of a machine', () => {
  test('is that of the nonce which the core gives at this request', async () => {
    const { text, asked } = applied({}, undefined, ['session/Abc_-9.cpio']);
    expect(await text(SESSION)).toBe('<session/Abc_-9.cpio>');
    expect(asked).toEqual([
      { mac: MAC, arch: 'bios-x86', client: 'pxelinux', stage: 'script', baseUrl: 'http://10.0.0.1:7077' },
    ]);
  });

  test.each([{ kind: 'local' }, { kind: 'silent', reason: 'rejected' }] as const)(
    'plan %j has none',
    async (plan) => expect(await applied({}, { machine: undefined, plan }).text(SESSION)).toBeUndefined(),
  );

  test.each(['01-52-54-00-00-00.cpio', '06-52-54-00-00-00-01.cpio', 'Abc_-9.cpio', '../x.cpio'])(
    'session/%s is not there, and the core is not asked',
    async (file) => {
      const { text, asked } = applied({ packages: tree });
      expect(await text(`pxelinux/10.0.0.1/session/${file}`)).toBeUndefined();
      expect(asked).toEqual([]);
    },
  );
});

describe('the configuration of a machine', () => {
  test('asks the core as PXELINUX, under the address that PXELINUX came from', async () => {
    const { text, asked } = applied({}, undefined, ['ramdisk/x86_64/vmlinuz']);
    expect(await text(NAME)).toContain(`initrd=http://10.0.0.1:7077/boot/${SESSION},`);
    expect(asked).toEqual([
      { mac: MAC, arch: 'bios-x86', client: 'pxelinux', stage: 'script', baseUrl: 'http://10.0.0.1:7077' },
    ]);
  });

  test('without a ramdisk machine and log are told so', async () => {
    const { text, warned } = applied({});
    expect(await text(NAME)).toMatch(/no ramdisk[\s\S]*LOCALBOOT 0\n$/);
    expect(warned).toEqual([expect.stringContaining('`overdub ramdisk build`')]);
  });

  test('the disk’s turn; a silent one has none', async () => {
    expect(await applied({}, { machine: undefined, plan: { kind: 'local' } }).text(NAME)).toContain(
      'LOCALBOOT 0',
    );
    const silent = { kind: 'silent', reason: 'rejected' } as const;
    expect(await applied({}, { machine: undefined, plan: silent }).text(NAME)).toBeUndefined();
  });

  test.each([
    'b8945908-d6a6-41a9-611d-74a6ab80b83d',
    '20-52-54-00-00-00-01',
    '01-52-54-00-00-00',
    '01-52-54-00-00-00-01/x',
    'C0A8025B',
    'C0A8',
    'C',
    'default',
  ])('pxelinux.cfg/%s is not there, and the core is not asked', async (file) => {
    const { text, asked } = applied({ packages: tree });
    expect(await text(`pxelinux/10.0.0.1/pxelinux.cfg/${file}`)).toBeUndefined();
    expect(asked).toEqual([]);
  });
});
