/** Our boot configuration: looks for the server's own at every boot, else for its newest kernel. */

import type { ServerIdentity } from '@overdub/core/agent';
import type { RootFiles } from '../root-files.ts';
import type { Kernel } from './kernels.ts';

/** Where the server's own configuration lies. */
export const SERVER_CONFIG = 'boot/grub/grub.cfg';

const CONSOLES = 'console=ttyS0,115200n8 console=tty0';

/**
 * grub.cfg for the ESP. Text mode, on screen and serial line. Order: the server's grub.cfg (unless `useServerConfig`
 * is false), the `/vmlinuz` links that its package manager keeps at the newest kernel, the kernels known now, any.
 */
export function bootConfig(
  identity: ServerIdentity,
  kernels: readonly Kernel[],
  useServerConfig: boolean,
): string {
  const own = `if [ -f ($root)/${SERVER_CONFIG} ]; then
  configfile ($root)/${SERVER_CONFIG}
fi`;
  return `# Rendered by Overdub for ${identity.hostname}; changes are lost.
set timeout=0
set pager=0
if serial --unit=0 --speed=115200; then
  terminal_input console serial
  terminal_output console serial
fi
insmod part_gpt
insmod ext2
insmod linux
insmod gzio
insmod test
search --no-floppy --fs-uuid --set=root ${identity.rootUuid}
export root

function overdub_boot {
  if [ -f "($root)$1" -a -f "($root)$2" ]; then
    echo "Overdub: $1"
    if linux "($root)$1" root=UUID=${identity.rootUuid} ro ${CONSOLES}; then
      if initrd "($root)$2"; then
        boot
      fi
    fi
  fi
}

${useServerConfig ? own : `# ${SERVER_CONFIG} of the image speaks of another disk and is not used.`}
overdub_boot /vmlinuz /initrd.img
overdub_boot /boot/vmlinuz /boot/initrd.img
${kernels.map(({ image, initrd }) => `overdub_boot ${image} ${initrd}`).join('\n')}
insmod regexp
for image in ($root)/boot/vmlinuz-*; do
  if regexp --set=1:version '.*/vmlinuz-(.*)' "$image"; then
    overdub_boot "/boot/vmlinuz-$version" "/boot/initrd.img-$version"
    overdub_boot "/boot/vmlinuz-$version" "/boot/initramfs-$version.img"
  fi
done
echo "Overdub: found no kernel that boots on the root filesystem ${identity.rootUuid}."
echo "Give the server a kernel and an initramfs in /boot, or roll it back. Restarting in 60 s."
sleep 60
reboot
`;
}

/**
 * The first steps, built into GRUB's image: find the ESP by its volume id. GRUB then goes on to normal mode there by
 * itself, which reads the lists of modules; `configfile` here would leave every command that is not built in unknown.
 */
export function earlyConfig(identity: ServerIdentity): string {
  const id = `${identity.espId.slice(0, 4)}-${identity.espId.slice(4)}`.toUpperCase();
  return `search.fs_uuid ${id} root
set prefix=($root)/overdub/grub
`;
}

/** Whether the server's grub.cfg, as it is now, would boot this server: its root, and kernels that are there. */
export function serverConfigFits(files: RootFiles, identity: ServerIdentity): boolean {
  const text = files.read(SERVER_CONFIG);
  if (text === undefined) return true; // None yet; one made later will be right.
  const image = /^\s*linux(?:16|efi)?\s+(\S+)/m.exec(text)?.[1];
  if (!text.includes(identity.rootUuid) || image === undefined) return false;
  return files.kind(image.replace(/^\/+/, '')) !== 'none';
}

/** A grub.cfg that came with a master, its root replaced by this server's. */
export function adoptServerConfig(text: string, rootUuid: string): string {
  return text
    .replace(/^(\s*search\s[^\n]*--fs-uuid\s[^\n]*?)\S+[ \t]*$/gm, `$1${rootUuid}`)
    .replace(/\broot=(?:UUID=|PARTUUID=|LABEL=|\/dev\/)\S*/g, `root=UUID=${rootUuid}`);
}
