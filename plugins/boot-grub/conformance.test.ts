import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { BootAnswer } from '@overdub/core';
import { Check } from 'typebox/value';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { textArtifact } from '../lib-boot/index.ts';
import { applyBootPlugin, MAC, planRenderedBy, putSignedGrub } from '../lib-boot/testing/index.ts';
import grub from './index.ts';
import { GrubOptions } from './options.ts';
import { renderBoot } from './render.ts';

const NAME = `grub/machine/10.0.0.1/x86_64/${MAC}.cfg`;
let tree: string;
beforeEach(async () => {
  tree = await mkdtemp(path.join(os.tmpdir(), 'overdub-grub-'));
  await putSignedGrub(tree, 'x86_64', 'x64');
});
afterEach(() => rm(tree, { recursive: true, force: true }));

/** Over a core that answers as told, and serves `served`. */
const applied = (options: GrubOptions, answer?: BootAnswer, served: readonly string[] = []) =>
  applyBootPlugin(grub(options), options, {
    answer: (request) => answer ?? planRenderedBy(renderBoot, options)(request),
    artifact: async (name) => (served.includes(name) ? textArtifact(name) : undefined),
  });

test('the plugin is named like its folder, and asked before boot-ipxe', () => {
  const { definition, stages } = applied({});
  expect(definition.name).toBe('boot-grub');
  expect(stages.render).toBeLessThan(0);
});

test.each<[unknown, boolean]>([
  [{}, true],
  [{ uefi: 'ipxe', packages: '/srv/x', arm: '/srv/arm' }, true],
  [{ uefi: 'shim' }, false],
  [{ arm64: '/srv' }, false],
])('options %j are valid: %s', (options, valid) => expect(Check(GrubOptions, options)).toBe(valid));

describe('binaries', () => {
  test.each([
    ['grub/shimx64.efi', '<shimx64.efi.signed>'],
    ['grub/grubx64.efi', '<grubnetx64.efi.signed>'],
    ['grub/mmx64.efi', '<mmx64.efi.signed>'],
    ['grubx64.efi', '<grubnetx64.efi.signed>'],
    ['mmx64.efi', '<mmx64.efi.signed>'],
    ['shimx64.efi', undefined],
    ['grub/shimaa64.efi', undefined],
    ['grub/../grub/shimx64.efi', undefined],
    ['usr/lib/shim/shimx64.efi.signed', undefined],
  ])('%s: %s', async (name, content) => expect(await applied({ packages: tree }).text(name)).toBe(content));

  test('ARM’s only from the tree that is named for them', async () => {
    await putSignedGrub(path.join(tree, 'arm'), 'arm64', 'aa64');
    const { text } = applied({ packages: tree, arm: path.join(tree, 'arm') });
    expect(await text('grub/grubaa64.efi')).toBe('<grubnetaa64.efi.signed>');
    expect(await text('grub/grubx64.efi')).toBe('<grubnetx64.efi.signed>');
  });

  test('missing packages fail the start, and are named', async () => {
    const { definition, ctx } = applied({});
    await expect(definition.start?.(ctx, { packages: tree })).resolves.toBeUndefined();
    await expect(definition.start?.(ctx, { packages: tree, arm: tree })).rejects.toMatchObject({
      code: 'PREREQUISITE_MISSING',
      message: expect.stringMatching(/shimaa64\.efi\.signed is not there, so no uefi-arm64 machine/),
      remedy: expect.stringMatching(/dpkg -x/),
    });
  });
});

describe('the configuration of a machine', () => {
  test('asks the core as GRUB, under the address that GRUB came from', async () => {
    const { text, asked } = applied({}, undefined, ['ramdisk/x86_64/vmlinuz']);
    expect(await text(NAME)).toContain('(tftp,10.0.0.1)/session/Abc_-9.cpio');
    expect(asked).toEqual([
      { mac: MAC, arch: 'uefi-x86_64', client: 'grub', stage: 'script', baseUrl: 'http://10.0.0.1:7077' },
    ]);
  });

  test('by IPv6 too: GRUB writes every group of our address, and takes it without brackets', async () => {
    const { text, asked } = applied({}, undefined, ['ramdisk/x86_64/vmlinuz']);
    const name = NAME.replace('10.0.0.1', 'fd77:0:0:0:0:0:0:1');
    expect(await text(name)).toContain('(tftp,fd77::1)/session/Abc_-9.cpio');
    expect(asked[0]?.baseUrl).toBe('http://[fd77::1]:7077');
  });

  test('a machine that no ramdisk runs on is told so', async () => {
    const { text } = applied({});
    expect(await text(NAME)).toMatch(/no ramdisk for uefi-x86_64 machines[\s\S]*\nexit\n$/);
  });

  test('an ARM machine loads ARM’s ramdisk; without one the log says how to build it', async () => {
    const name = NAME.replace('x86_64', 'arm64');
    const built = applied({ arm: tree }, undefined, ['ramdisk/arm64/vmlinuz']);
    expect(await built.text(name)).toContain('(tftp,10.0.0.1)/ramdisk/arm64/initrd');
    expect(built.warned).toEqual([]);
    const without = applied({ arm: tree }, undefined, ['ramdisk/x86_64/vmlinuz']);
    expect(await without.text(name)).toContain('no ramdisk for uefi-arm64 machines');
    expect(without.warned).toEqual([expect.stringContaining('`overdub ramdisk build --arch arm64`')]);
  });

  test('the disk’s turn: GRUB gives way; a silent one has none', async () => {
    expect(await applied({}, { machine: undefined, plan: { kind: 'local' } }).text(NAME)).toBe('exit\n');
    const silent = { kind: 'silent', reason: 'rejected' } as const;
    expect(await applied({}, { machine: undefined, plan: silent }).text(NAME)).toBeUndefined();
  });

  test.each([
    `grub/machine/10.0.0.1/i386/${MAC}.cfg`,
    `grub/machine/300.0.0.1/x86_64/${MAC}.cfg`,
    `grub/machine/10.0.0.1;halt/x86_64/${MAC}.cfg`,
    `grub/machine/fd77:1/x86_64/${MAC}.cfg`,
    `grub/machine/fd77::1::2/x86_64/${MAC}.cfg`,
    'grub/machine/10.0.0.1/x86_64/01:00:00:00:00:01:02.cfg',
    'grub/machine/10.0.0.1/x86_64/.cfg',
    `grub/machine/x86_64/${MAC}.cfg`,
  ])('%s is not served, and the core is not asked', async (name) => {
    const { text, asked } = applied({});
    expect(await text(name)).toBeUndefined();
    expect(asked).toEqual([]);
  });
});
