import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RootFiles } from '../root-files.ts';
import { adoptServerConfig, bootConfig, earlyConfig, serverConfigFits } from './config.ts';
import { compareVersions, findKernels } from './kernels.ts';

const identity = {
  hostname: 'web-1',
  machineId: '0'.repeat(32),
  rootUuid: '11111111-2222-4333-8444-555555555555',
  espId: 'ABCD0123',
};
const OLD = 'deadbeef-0000-4000-8000-000000000000';
const DEBIAN = `set default="0"
search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt1 ${OLD}
menuentry 'Debian' {
	search --no-floppy --fs-uuid --set=root ${OLD}
	linux	/boot/vmlinuz-6.1.0 root=UUID=${OLD} ro quiet
	initrd	/boot/initrd.img-6.1.0
}
menuentry 'chroot' {
	linux	/boot/vmlinuz-6.1.0 root=/dev/vda1 ro
}
`;

describe('boot configuration', () => {
  let root: string;
  let files: RootFiles;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'overdub-boot-'));
    files = new RootFiles(root);
  });
  afterEach(() => {
    files.close();
    rmSync(root, { recursive: true, force: true });
  });
  const put = (path: string, text: string) => {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
  };

  it('is a script that GRUB accepts, with or without the server’s own', () => {
    const kernels = [{ version: '6.1', image: '/boot/vmlinuz-6.1', initrd: '/boot/initrd.img-6.1' }];
    for (const useServerConfig of [true, false]) {
      const text = bootConfig(identity, kernels, useServerConfig);
      execFileSync('grub-script-check', { input: text });
      expect(text.includes('configfile')).toBe(useServerConfig);
      expect(text).toContain(`--set=root ${identity.rootUuid}`);
    }
    expect(earlyConfig(identity)).toBe('search.fs_uuid ABCD-0123 root\nset prefix=($root)/overdub/grub\n');
  });

  it('makes a master’s grub.cfg speak of the server’s root', () => {
    const adopted = adoptServerConfig(DEBIAN, identity.rootUuid);
    expect(adopted).not.toContain(OLD);
    expect(adopted).not.toContain('/dev/vda1');
    expect(adopted.match(new RegExp(identity.rootUuid, 'g'))).toHaveLength(4);
    expect(adopted).toContain(`--hint-bios=hd0,gpt1 ${identity.rootUuid}\n`);
    expect(adopted).toContain('ro quiet');
  });

  it('takes the server’s grub.cfg only where it would boot this server', () => {
    expect(serverConfigFits(files, identity)).toBe(true);
    put('boot/grub/grub.cfg', DEBIAN);
    expect(serverConfigFits(files, identity)).toBe(false);
    put('boot/grub/grub.cfg', adoptServerConfig(DEBIAN, identity.rootUuid));
    expect(serverConfigFits(files, identity)).toBe(false);
    put('boot/vmlinuz-6.1.0', 'k');
    expect(serverConfigFits(files, identity)).toBe(true);
  });

  it('lists kernels with an initramfs, newest first, and no name that GRUB could misread', () => {
    for (const name of ['6.9.0-1', '6.10.0-1', '5.4', '6.11.0', '7.0 $(reboot)'])
      put(`boot/vmlinuz-${name}`, 'k');
    for (const name of ['6.9.0-1', '6.10.0-1', '7.0 $(reboot)']) put(`boot/initrd.img-${name}`, 'i');
    put('boot/initramfs-5.4.img', 'i');
    symlinkSync('vmlinuz-5.4', join(root, 'boot/vmlinuz-linked'));
    expect(findKernels(files).map(({ version }) => version)).toEqual(['6.10.0-1', '6.9.0-1', '5.4']);
    expect(compareVersions('6.1.0-9', '6.1.0-10')).toBeLessThan(0);
    expect(compareVersions('6.1', '6.1')).toBe(0);
  });
});
