import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { rewriteFstab } from './fstab.ts';
import { interfaceLinks } from './links.ts';
import { personalizeRoot, rewriteHosts } from './personalize.ts';

const identity = {
  hostname: 'web-1',
  machineId: '0123456789abcdef0123456789abcdef',
  rootUuid: '11111111-2222-4333-8444-555555555555',
  espId: 'ABCD0123',
};

describe('a new server', () => {
  let base: string;
  let root: string;
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'overdub-person-'));
    root = join(base, 'root');
    mkdirSync(root);
  });
  afterEach(() => rmSync(base, { recursive: true, force: true }));
  const put = (path: string, text = '') => {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const get = (path: string) => readFileSync(join(root, path), 'utf8');

  it('gets names, ids and keys of its own', async () => {
    put('etc/hostname', 'master\n');
    put('etc/hosts', '127.0.0.1 localhost\n127.0.1.1 master\n::1 ip6-localhost\n');
    put('etc/machine-id', 'f'.repeat(32));
    put('var/lib/dbus/machine-id', 'f'.repeat(32));
    put('usr/sbin/sshd');
    for (const kind of ['rsa', 'ecdsa', 'ed25519']) put(`etc/ssh/ssh_host_${kind}_key`, 'the master’s');
    put('etc/ssh/sshd_config', 'kept');
    await personalizeRoot(root, identity);
    expect(get('etc/hostname')).toBe('web-1\n');
    expect(get('etc/hosts')).toBe('127.0.0.1 localhost\n::1 ip6-localhost\n127.0.1.1 web-1\n');
    expect(get('etc/machine-id')).toBe(`${identity.machineId}\n`);
    expect(readlinkSync(join(root, 'var/lib/dbus/machine-id'))).toBe('/etc/machine-id');
    expect(readdirSync(join(root, 'etc/ssh'))).toEqual([
      'ssh_host_ed25519_key',
      'ssh_host_ed25519_key.pub',
      'ssh_host_rsa_key',
      'ssh_host_rsa_key.pub',
      'sshd_config',
    ]);
    for (const [kind, bits] of [
      ['ed25519', 256],
      ['rsa', 3072],
    ] as const) {
      const key = join(root, `etc/ssh/ssh_host_${kind}_key`);
      expect(statSync(key).mode & 0o777).toBe(0o600);
      const printed = execFileSync('ssh-keygen', ['-l', '-f', key], { encoding: 'utf8' });
      expect(printed).toContain(`${bits} SHA256:`);
      expect(printed).toContain('root@web-1');
      // ssh-keygen -y reads the private half and must make the same public one.
      const derived = execFileSync('ssh-keygen', ['-y', '-f', key], { encoding: 'utf8' });
      expect(get(`etc/ssh/ssh_host_${kind}_key.pub`)).toBe(derived);
      execFileSync('ssh-keygen', ['-Y', 'sign', '-f', key, '-n', 'file', join(root, 'etc/hosts')], {
        stdio: 'ignore',
      });
    }
  });

  it('never writes through a link of the image', async () => {
    const outside = join(base, 'outside');
    mkdirSync(outside);
    mkdirSync(join(root, 'etc'));
    symlinkSync(join(outside, 'hostname'), join(root, 'etc/hostname'));
    writeFileSync(join(outside, 'hostname'), 'ramdisk');
    await personalizeRoot(root, identity);
    expect(readFileSync(join(outside, 'hostname'), 'utf8')).toBe('ramdisk');
    expect(get('etc/hostname')).toBe('web-1\n');
    rmSync(join(root, 'etc'), { recursive: true });
    symlinkSync(outside, join(root, 'etc'));
    await expect(personalizeRoot(root, identity)).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
    expect(readdirSync(outside)).toEqual(['hostname']);
  });

  it('configures ifupdown, systemd-networkd, or nothing, by what the image has', async () => {
    put('usr/sbin/ifup');
    put('usr/sbin/dhclient');
    put('etc/network/interfaces', 'source /etc/network/interfaces.d/*\nauto lo\n');
    await personalizeRoot(root, identity);
    expect(get('etc/network/interfaces.d/overdub')).toBe('auto lan0\niface lan0 inet dhcp\n');
    expect(get('etc/network/interfaces').match(/^source/gm)).toHaveLength(1);
    put('etc/network/interfaces', 'auto lo\n');
    await personalizeRoot(root, identity);
    expect(get('etc/network/interfaces')).toMatch(/^source .*interfaces\.d\/\*$/m);
    rmSync(join(root, 'usr/sbin/dhclient'));
    put('usr/lib/systemd/systemd-networkd');
    mkdirSync(join(root, 'usr/lib/systemd/system'));
    await personalizeRoot(root, identity);
    expect(get('etc/systemd/network/05-overdub-lan0.network')).toContain('Name=lan0\n');
    const wants = 'etc/systemd/system/multi-user.target.wants/systemd-networkd.service';
    expect(readlinkSync(join(root, wants))).toBe('/usr/lib/systemd/system/systemd-networkd.service');
  });

  it('leaves the network of an image that has neither', async () => {
    await personalizeRoot(root, identity);
    expect(existsSync(join(root, 'etc/network'))).toBe(false);
    expect(existsSync(join(root, 'etc/systemd'))).toBe(false);
  });
});

describe('fstab', () => {
  const master = `# comment
UUID=aaaa / ext4 defaults 0 1
UUID=BBBB /boot/efi vfat umask=0077 0 1
/dev/sda5 none swap sw 0 0
/swapfile none swap sw 0 0
UUID=cccc /srv xfs defaults 0 2
tmpfs /tmp tmpfs nosuid 0 0
filer:/home /home nfs defaults 0 0
`;

  it('names the server’s own filesystems and keeps only what can be mounted anywhere', () => {
    const lines = rewriteFstab(master, identity).split('\n');
    const active = lines
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => line.split(' ').slice(0, 2));
    expect(active).toEqual([
      [`UUID=${identity.rootUuid}`, '/'],
      ['UUID=ABCD-0123', '/boot/efi'],
      ['/swapfile', 'none'],
      ['tmpfs', '/tmp'],
      ['filer:/home', '/home'],
    ]);
    expect(lines.find((line) => line.includes('/boot/efi') && !line.startsWith('#'))).toContain('nofail');
    expect(lines).toContain('# overdub: UUID=cccc /srv xfs defaults 0 2');
  });
});

it('knows the host name in /etc/hosts, whatever was there', () => {
  expect(rewriteHosts('', 'a')).toBe('127.0.0.1 localhost\n127.0.1.1 a\n');
});

it('names the interface with a link first', () => {
  const links = interfaceLinks([
    { name: 'a', mac: '52:54:00:00:00:01' },
    { name: 'b', mac: '52:54:00:00:00:02', link: true },
  ]);
  expect([...links.keys()]).toEqual(['10-overdub-lan0.link', '10-overdub-lan1.link']);
  expect(links.get('10-overdub-lan0.link')).toContain('52:54:00:00:00:02');
});
