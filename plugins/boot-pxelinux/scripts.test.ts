import type { BootRequest } from '@overdub/core';
import { describe, expect, test } from 'vitest';
import { PLAN, renderRequest as requestOf } from '../lib-boot/testing/index.ts';
import type { PxelinuxOptions } from './options.ts';
import { renderBoot } from './render.ts';
import { localConfig, noRamdiskConfig, ramdiskConfig } from './scripts.ts';

const renderRequest = (more: Partial<BootRequest>, labels = {}) =>
  requestOf({ arch: 'bios-x86', ...more }, labels);
const BASE = 'http://10.0.0.1:7077';
const LPXELINUX = { kind: 'file', name: 'pxelinux/10.0.0.1/lpxelinux.0' };
const SESSION = 'pxelinux/10.0.0.1/session/01-52-54-00-00-00-01.cpio';
const LABEL = { loader: 'pxelinux' };

describe('render', () => {
  test.each<[string, Partial<BootRequest>, PxelinuxOptions, Record<string, string>, unknown]>([
    ['BIOS is iPXE’s, as a rule', {}, {}, {}, undefined],
    ['but for the label', {}, {}, LABEL, LPXELINUX],
    ['where PXELINUX is the rule', {}, { bios: 'pxelinux' }, {}, LPXELINUX],
    ['but for the label iPXE', {}, { bios: 'pxelinux' }, { loader: 'ipxe' }, undefined],
    ['GRUB is no loader for BIOS', {}, { bios: 'pxelinux' }, { loader: 'grub' }, LPXELINUX],
    ['by TFTP', {}, { transfer: 'tftp' }, LABEL, { kind: 'file', name: 'pxelinux/10.0.0.1/pxelinux.0' }],
    ['iPXE in the card', { client: 'ipxe', stage: 'dhcp' }, {}, LABEL, LPXELINUX],
    ['iPXE’s script', { client: 'ipxe', stage: 'script' }, {}, LABEL, undefined],
    ['UEFI', { arch: 'uefi-x86_64' }, { bios: 'pxelinux' }, LABEL, undefined],
    ['IPv6', { baseUrl: 'http://[fd00::1]:7077' }, {}, LABEL, undefined],
  ])('%s', (_, request, options, labels, expected) =>
    expect(renderBoot(renderRequest(request, labels), options)).toEqual(expected),
  );

  test.each<[PxelinuxOptions, string]>([
    [{}, ramdiskConfig(PLAN, SESSION, BASE)],
    [{ transfer: 'tftp' }, ramdiskConfig(PLAN, SESSION)],
  ])('PXELINUX gets its configuration, whoever sent it: %j', (options, text) => {
    const request = { client: 'pxelinux', stage: 'script' } as const;
    expect(renderBoot(renderRequest(request), options)).toEqual({ kind: 'script', text });
  });
});

describe('the ramdisk’s configuration', () => {
  test('loads kernel, then session and ramdisk, by HTTP', () => {
    const lines = ramdiskConfig(PLAN, SESSION, BASE).split('\n');
    expect(lines).toContain(`  LINUX ${BASE}/boot/ramdisk/x86_64/vmlinuz`);
    expect(lines).toContain(
      `  APPEND initrd=${BASE}/boot/${SESSION},${BASE}/boot/ramdisk/x86_64/initrd panic=30 console=tty0`,
    );
  });

  test('or by TFTP, from the root', () => {
    const lines = ramdiskConfig(PLAN, SESSION).split('\n');
    expect(lines).toContain('  LINUX ::ramdisk/x86_64/vmlinuz');
    expect(lines).toContain(`  APPEND initrd=::${SESSION},::ramdisk/x86_64/initrd panic=30 console=tty0`);
  });

  test('what does not load ends in a reboot after 5 seconds, what breaks off in one of the kernel', () => {
    const text = ramdiskConfig(PLAN, SESSION, BASE);
    expect(text).toMatch(/\nTIMEOUT 50\n/);
    expect(text).toContain(' panic=30 ');
    expect(text).toMatch(/\nONTIMEOUT again\n/);
    expect(text).toMatch(/\nLABEL again\n {2}COM32 reboot\.c32\n$/);
  });

  test.each(['a b', 'x\nLABEL y', '#', '"', '', '`id`', '$x', 'a;b'])(
    'the kernel argument %j is refused',
    (argument) =>
      expect(() => ramdiskConfig({ kernelArguments: [argument] }, SESSION, BASE)).toThrow(
        expect.objectContaining({ code: 'INPUT_INVALID' }),
      ),
  );

  test.each(['', 'a b', 'a\n', '"'])('the session %j is refused', (session) =>
    expect(() => ramdiskConfig(PLAN, session, BASE)).toThrow(
      expect.objectContaining({ code: 'INPUT_INVALID' }),
    ),
  );

  test('holds no nonce: what it names is on the kernel’s command line, and so on consoles', () => {
    const rendered = renderBoot(renderRequest({ client: 'pxelinux', stage: 'script' }), {});
    expect(rendered).toMatchObject({ kind: 'script', text: expect.not.stringContaining(PLAN.nonce) });
  });

  test('a machine without a MAC address gets none', () =>
    expect(() => renderBoot(renderRequest({ client: 'pxelinux', stage: 'script', mac: 'x,y' }), {})).toThrow(
      expect.objectContaining({ code: 'INPUT_INVALID' }),
    ));
});

test('the disk’s turn, at once or after a word', () => {
  expect(localConfig()).toBe('DEFAULT disk\nLABEL disk\n  LOCALBOOT 0\n');
  expect(noRamdiskConfig()).toMatch(
    /no ramdisk[\s\S]*TIMEOUT 300\n[\s\S]*ONTIMEOUT disk\n[\s\S]*LOCALBOOT 0\n$/,
  );
});
