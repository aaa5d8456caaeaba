import { describe, expect, test } from 'vitest';
import { autoexecScript, localScript, ramdiskScript } from './scripts.ts';

const BASE = 'http://10.0.0.1:7077';
const plan = (kernelArguments: readonly string[] = [], nonce = 'Abc_-9') =>
  ({ kind: 'ramdisk', kernelArguments, nonce }) as const;

describe('the ramdisk script', () => {
  const script = ramdiskScript(plan(['console=tty0', 'console=ttyS0,115200']), BASE);
  const lines = script.split('\n');

  test('loads kernel, session and ramdisk by HTTP, with names that UEFI kernels find', () => {
    expect(lines[0]).toBe('#!ipxe');
    expect(lines).toContain(
      `kernel --name vmlinuz ${BASE}/boot/ramdisk/x86_64/vmlinuz initrd=session.cpio initrd=initrd console=tty0 console=ttyS0,115200 || goto retry`,
    );
    const session = lines.indexOf(
      `initrd --name session.cpio ${BASE}/boot/session/Abc_-9.cpio || goto retry`,
    );
    const ramdisk = lines.indexOf(`initrd --name initrd ${BASE}/boot/ramdisk/x86_64/initrd || goto retry`);
    expect(session).toBeGreaterThan(0);
    expect(ramdisk).toBeGreaterThan(session);
  });

  test('the nonce is in no kernel argument', () => {
    expect(lines.find((line) => line.startsWith('kernel'))).not.toContain('Abc_-9');
  });

  test('every label it goes to exists, and it never falls through into failure', () => {
    const targets = [...script.matchAll(/goto (\w+)/g)].map((match) => match[1]);
    for (const target of targets) expect(lines).toContain(`:${target}`);
    expect(lines.at(-2)).toBe('reboot');
  });

  test.each(['a b', `\${net0/mac}`, 'x||reboot', 'x&&y', 'x\nshell', '#', '"', '', "'", 'ü', '`id`', 'a;b'])(
    'the kernel argument %j is refused',
    (argument) => {
      expect(() => ramdiskScript(plan([argument]), BASE)).toThrow(
        expect.objectContaining({ code: 'INPUT_INVALID' }),
      );
    },
  );

  test.each(['', '../x', 'a b', 'a\n', `\${x}`])('the nonce %j is refused', (nonce) => {
    expect(() => ramdiskScript(plan([], nonce), BASE)).toThrow(
      expect.objectContaining({ code: 'INPUT_INVALID' }),
    );
  });

  test.each(['http://10.0.0.1/x', 'ftp://10.0.0.1', 'http://a b', `http://\${x}`, '10.0.0.1', 'http://'])(
    'the base URL %j is refused',
    (url) =>
      expect(() => ramdiskScript(plan(), url)).toThrow(expect.objectContaining({ code: 'INPUT_INVALID' })),
  );
});

test('local disk: BIOS names the drive, UEFI exits', () => {
  expect(localScript('bios-x86')).toBe('#!ipxe\nsanboot --no-describe --drive 0x80 || exit\n');
  expect(localScript('uefi-x86_64')).toBe('#!ipxe\nexit\n');
});

test('autoexec asks DHCP and ends', () => {
  const script = autoexecScript();
  expect(script).toMatch(/^#!ipxe\n/);
  expect(script).toContain('autoboot');
  expect(script).toContain('&& exit');
});
