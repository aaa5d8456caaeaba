/** fstab(5) of a server: its own root and ESP; what named other local disks is left as a comment. */

import type { ServerIdentity } from '@overdub/core/agent';

/** Rewrites a master's fstab. Network and memory filesystems stay; local devices would be waited for at boot. */
export function rewriteFstab(text: string, identity: ServerIdentity): string {
  const lines = text.split('\n').filter((line, at, all) => line !== '' || at < all.length - 1);
  const kept = lines
    .filter((line) => !line.startsWith(HEADER))
    .map((line) => (isLocal(line) ? `# overdub: ${line}` : line));
  return `${[HEADER, ...ownLines(identity), ...kept].join('\n')}\n`;
}

const HEADER = '# Root and EFI system partition as Overdub made them; their UUIDs belong to this server.';

function ownLines(identity: ServerIdentity): string[] {
  const esp = `${identity.espId.slice(0, 4)}-${identity.espId.slice(4)}`;
  return [
    `UUID=${identity.rootUuid} / ext4 errors=remount-ro 0 1`,
    `UUID=${esp} /boot/efi vfat umask=0077,nofail 0 0`,
  ];
}

function isLocal(line: string): boolean {
  const [source, target, type] = line.trim().split(/\s+/);
  if (source === undefined || source === '' || source.startsWith('#')) return false;
  if (target === '/' || target === '/boot/efi' || type === 'swap') return !source.startsWith('/swap');
  return /^(UUID=|LABEL=|PARTUUID=|PARTLABEL=|ID=|\/dev\/)/i.test(source);
}
