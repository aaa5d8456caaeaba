/** What makes a new server out of a master's copy: names, ids, keys. Once, before its first boot. */

import type { ServerIdentity } from '@overdub/core/agent';
import { adoptServerConfig, SERVER_CONFIG } from '../boot/config.ts';
import { RootFiles } from '../root-files.ts';
import { rewriteFstab } from './fstab.ts';
import { configureNetwork } from './network.ts';
import { generateHostKeys } from './ssh-keys.ts';

/** See {@link DiskFeature.personalize}. Run again, it makes other host keys and the same of everything else. */
export async function personalizeRoot(root: string, identity: ServerIdentity): Promise<void> {
  const files = new RootFiles(root);
  try {
    files.write('etc/hostname', `${identity.hostname}\n`);
    files.write('etc/hosts', rewriteHosts(files.read('etc/hosts') ?? '', identity.hostname));
    files.write('etc/machine-id', `${identity.machineId}\n`, 0o444);
    // dbus makes a link or a copy of /etc/machine-id by itself; an old copy would contradict it.
    if (files.kind('var/lib/dbus/machine-id') === 'file')
      files.symlink('var/lib/dbus/machine-id', '/etc/machine-id');
    files.write('etc/fstab', rewriteFstab(files.read('etc/fstab') ?? '', identity));
    const config = files.read(SERVER_CONFIG);
    if (config !== undefined) files.write(SERVER_CONFIG, adoptServerConfig(config, identity.rootUuid));
    configureNetwork(files);
    await renewHostKeys(files, identity.hostname);
    // Seeds and leases of the master must not be shared by its servers.
    for (const path of ['var/lib/systemd/random-seed', 'var/lib/systemd/credential.secret'])
      files.remove(path);
  } finally {
    files.close();
  }
}

/** An /etc/hosts that knows the host name, as Debian writes it (127.0.1.1). */
export function rewriteHosts(text: string, hostname: string): string {
  const lines = text.split('\n').filter((line) => !/^\s*127\.0\.1\.1\s/.test(line));
  while (lines.at(-1) === '') lines.pop();
  if (!lines.some((line) => /^\s*127\.0\.0\.1\s/.test(line))) lines.unshift('127.0.0.1 localhost');
  return `${[...lines, `127.0.1.1 ${hostname}`].join('\n')}\n`;
}

async function renewHostKeys(files: RootFiles, hostname: string): Promise<void> {
  for (const name of files.list('etc/ssh')) {
    if (/^ssh_host_.*key(\.pub|-cert\.pub)?$/.test(name)) files.remove(`etc/ssh/${name}`);
  }
  if (files.kind('usr/sbin/sshd') === 'none' && files.kind('sbin/sshd') === 'none') return;
  for (const key of await generateHostKeys(`root@${hostname}`)) {
    files.write(`etc/ssh/ssh_host_${key.kind}_key`, key.privateText, 0o600);
    files.write(`etc/ssh/ssh_host_${key.kind}_key.pub`, key.publicText);
  }
}
