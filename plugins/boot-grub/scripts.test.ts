import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { BootRequest } from '@overdub/core';
import { describe, expect, test } from 'vitest';
import { PLAN, renderRequest } from '../lib-boot/testing/index.ts';
import type { GrubOptions } from './options.ts';
import { renderBoot } from './render.ts';
import { commonConfig, localConfig, noRamdiskConfig, ramdiskConfig } from './scripts.ts';

const SHIM = { kind: 'file', name: 'grub/shimx64.efi' };

describe('render', () => {
  test.each<[string, Partial<BootRequest>, GrubOptions, Record<string, string>, unknown]>([
    ['UEFI firmware', {}, {}, {}, SHIM],
    ['where iPXE is the rule', {}, { uefi: 'ipxe' }, {}, undefined],
    ['where iPXE is the rule, and the label says otherwise', {}, { uefi: 'ipxe' }, { loader: 'grub' }, SHIM],
    ['the other way round', {}, {}, { loader: 'ipxe' }, undefined],
    ['ARM without its packages', { arch: 'uefi-arm64' }, {}, {}, undefined],
    [
      'ARM, whatever the rule for others',
      { arch: 'uefi-arm64' },
      { uefi: 'ipxe', arm: '/arm' },
      {},
      { kind: 'file', name: 'grub/shimaa64.efi' },
    ],
    ['BIOS', { arch: 'bios-x86' }, {}, {}, undefined],
    ['iPXE', { client: 'ipxe' }, {}, {}, undefined],
    ['HTTP Boot, which GRUB 2.06 cannot go on from', { client: 'http' }, {}, {}, undefined],
  ])('%s', (_, request, options, labels, expected) =>
    expect(renderBoot(renderRequest(request, labels), options)).toEqual(expected),
  );

  test('GRUB gets its configuration, whoever sent it', () => {
    const request = { client: 'grub', stage: 'script' } as const;
    expect(renderBoot(renderRequest(request), { uefi: 'ipxe' })).toEqual({
      kind: 'script',
      text: ramdiskConfig(PLAN, 'uefi-x86_64', '10.0.0.1'),
    });
  });
});

describe('the ramdisk’s configuration', () => {
  const text = ramdiskConfig(PLAN, 'uefi-x86_64', '10.0.0.1');

  test('loads kernel, then session and ramdisk, by TFTP; the nonce is in no kernel argument', () => {
    expect(text).toContain('linux (tftp,10.0.0.1)/ramdisk/x86_64/vmlinuz console=tty0;');
    expect(text).toContain(
      'initrd (tftp,10.0.0.1)/session/Abc_-9.cpio (tftp,10.0.0.1)/ramdisk/x86_64/initrd;',
    );
    expect(text.match(/Abc_-9/g)).toHaveLength(1);
    expect(text.trimEnd().endsWith('\nreboot')).toBe(true);
  });

  test.each(['a b', '$x', 'x;halt', 'x&&y', 'x\nhalt', '#', '"', '', "'", '`id`', '{', 'x>y'])(
    'the kernel argument %j is refused',
    (argument) =>
      expect(() =>
        ramdiskConfig({ ...PLAN, kernelArguments: [argument] }, 'uefi-x86_64', '10.0.0.1'),
      ).toThrow(expect.objectContaining({ code: 'INPUT_INVALID' })),
  );

  test.each(['', '../x', 'a b', 'a\n', '$x'])('the nonce %j is refused', (nonce) =>
    expect(() => ramdiskConfig({ ...PLAN, nonce }, 'uefi-x86_64', '10.0.0.1')).toThrow(
      expect.objectContaining({ code: 'INPUT_INVALID' }),
    ),
  );
});

const CHECKER = '/usr/bin/grub-script-check';
test.skipIf(!existsSync(CHECKER)).each([
  ['common', commonConfig()],
  ['ramdisk', ramdiskConfig(PLAN, 'uefi-x86_64', '10.0.0.1')],
  ['no ramdisk', noRamdiskConfig('uefi-arm64')],
  ['local', localConfig()],
])('GRUB’s own parser accepts the %s configuration', (_, text) => {
  const { status, stderr } = spawnSync(CHECKER, { input: text });
  expect([status, stderr.toString()]).toEqual([0, '']);
});

test('a configuration that GRUB’s parser refuses would be noticed', () => {
  if (existsSync(CHECKER)) expect(spawnSync(CHECKER, { input: 'if true; then\n' }).status).not.toBe(0);
});
