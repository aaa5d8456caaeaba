import { describe, expect, test } from 'vitest';
import { autoexecScript, localScript, ramdiskScript, type ScriptSite } from './scripts.ts';

const BASE = 'http://10.0.0.1:7077';
const AGAIN = `${BASE}/boot/ipxe/script?mac=52:54:00:00:00:01&arch=bios-x86`;
const site = (more: Partial<ScriptSite> = {}): ScriptSite => ({
  arch: 'bios-x86',
  baseUrl: BASE,
  scriptUrl: AGAIN,
  ...more,
});
const plan = (kernelArguments: readonly string[] = [], nonce = 'Abc_-9') =>
  ({ kind: 'ramdisk', kernelArguments, nonce }) as const;

describe('the ramdisk script', () => {
  const script = ramdiskScript(plan(['console=tty0', 'console=ttyS0,115200']), site());
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
      expect(() => ramdiskScript(plan([argument]), site())).toThrow(
        expect.objectContaining({ code: 'INPUT_INVALID' }),
      );
    },
  );

  test.each(['', '../x', 'a b', 'a\n', `\${x}`])('the nonce %j is refused', (nonce) => {
    expect(() => ramdiskScript(plan([], nonce), site())).toThrow(
      expect.objectContaining({ code: 'INPUT_INVALID' }),
    );
  });

  test.each(['http://10.0.0.1/x', 'ftp://10.0.0.1', 'http://a b', `http://\${x}`, '10.0.0.1', 'http://'])(
    'the base URL %j is refused',
    (url) =>
      expect(() => ramdiskScript(plan(), site({ baseUrl: url }))).toThrow(
        expect.objectContaining({ code: 'INPUT_INVALID' }),
      ),
  );
});

describe('local disk', () => {
  test('BIOS names the drive; one that does not start asks again, and reboots where nobody answers', () => {
    expect(localScript(site()).split('\n')).toEqual([
      '#!ipxe',
      ':disk',
      'sanboot --no-describe --drive 0x80 ||',
      expect.stringMatching(/^echo Overdub: the disk does not start/),
      'sleep 30 ||',
      ':again',
      `chain --replace --autofree ${AGAIN} ||`,
      'reboot',
      '',
    ]);
  });

  test('UEFI exits', () => {
    expect(localScript(site({ arch: 'uefi-x86_64' }))).toBe('#!ipxe\nexit\n');
    const menu = { seconds: 7 };
    expect(localScript(site({ arch: 'uefi-x86_64', menu }))).toContain('\n:disk\nexit\n');
  });
});

describe('the menu', () => {
  const menu = { seconds: 7 };
  const ramdisk = ramdiskScript(plan(), site({ menu }));
  const disk = localScript(site({ menu }));
  const items = (script: string) => [...script.matchAll(/^item (\w+) \S/gm)].map((match) => match[1]);

  test('offers the plan first, and the plan is what a silent user gets', () => {
    expect(items(ramdisk)).toEqual(['ramdisk', 'disk', 'shell', 'reboot']);
    expect(ramdisk).toContain('\nchoose --default ramdisk --timeout 7000 chosen || set chosen ramdisk\n');
    expect(items(disk)).toEqual(['disk', 'shell', 'reboot']);
    expect(disk).toContain('\nchoose --default disk --timeout 7000 chosen || set chosen disk\n');
  });

  test.each([
    ['ramdisk', ramdisk],
    ['disk', disk],
    ['ramdisk, UEFI', ramdiskScript(plan(), site({ menu, arch: 'uefi-x86_64' }))],
    ['disk, UEFI', localScript(site({ menu, arch: 'uefi-x86_64' }))],
  ])('plan %s: each item, and every label it goes to, is there once', (_, script) => {
    const labels = [...script.matchAll(/^:(\w+)$/gm)].map((match) => match[1]);
    expect(new Set(labels).size).toBe(labels.length);
    const targets = [...script.matchAll(/goto (\w+)/g)].map((match) => match[1]);
    expect(labels).toEqual(expect.arrayContaining([...items(script), ...targets]));
  });

  test('the disk of a UEFI machine is its next boot entry', () => {
    const script = ramdiskScript(plan(), site({ menu, arch: 'uefi-x86_64' }));
    expect(items(script)).toEqual(['ramdisk', 'disk', 'shell', 'reboot']);
    expect(script).toContain('\n:disk\nexit\n');
    expect(script).not.toContain('sanboot');
  });

  test('nothing chosen runs on into another choice', () => {
    const lines = ramdisk.split('\n');
    for (const label of [':shell', ':reboot', ':disk', ':ramdisk'])
      expect([label, lines[lines.indexOf(label) - 1]]).toEqual([
        label,
        label === ':shell' ? `goto \${chosen}` : label === ':reboot' ? 'goto again' : 'reboot',
      ]);
  });

  test('is in no script unless it is wished', () => {
    expect(ramdiskScript(plan(), site()) + localScript(site())).not.toMatch(/menu|choose|shell/);
  });
});

test('autoexec asks DHCP and ends', () => {
  const script = autoexecScript();
  expect(script).toMatch(/^#!ipxe\n/);
  expect(script).toContain('autoboot');
  expect(script).toContain('&& exit');
});
