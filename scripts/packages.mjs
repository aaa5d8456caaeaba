/**
 * Debian packages, by what needs them. Plain data for the plain start script, so that it runs where nothing is
 * installed yet. Each row: package, and a file whose presence proves it (cheaper than asking dpkg forty times); where
 * releases keep it in different places, one of several.
 */
const RAMDISK = [
  ['cpio', '/usr/bin/cpio'],
  ['zstd', '/usr/bin/zstd'],
  ['xz-utils', '/usr/bin/xz'],
  ['kmod', '/usr/sbin/depmod'],
];
const LAB = [
  ['qemu-system-x86', '/usr/bin/qemu-system-x86_64'],
  ['qemu-utils', '/usr/bin/qemu-img'],
  ['ipxe-qemu', '/usr/lib/ipxe/qemu/efi-virtio.rom', '/usr/share/qemu/efi-virtio.rom'],
  ['seabios', '/usr/share/seabios/bios-256k.bin'],
  ['ovmf', '/usr/share/OVMF/OVMF_CODE_4M.fd'],
  ['ipxe', '/usr/lib/ipxe/undionly.kpxe'],
  ['iproute2', '/usr/bin/ip'],
  ['procps', '/usr/sbin/sysctl'],
  ['radvd', '/usr/sbin/radvd'],
  ['mmdebstrap', '/usr/bin/mmdebstrap'],
];
const REFEREES = [
  ['dnsmasq-base', '/usr/sbin/dnsmasq'],
  ['shim-signed', '/usr/lib/shim/shimx64.efi.signed'],
  ['grub-efi-amd64-signed', '/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed'],
  ['pxelinux', '/usr/lib/PXELINUX/lpxelinux.0'],
  ['syslinux-common', '/usr/lib/syslinux/modules/bios/ldlinux.c32'],
  ['isc-dhcp-relay', '/usr/sbin/dhcrelay'],
  ['atftp', '/usr/bin/atftp'],
  ['tftp-hpa', '/usr/bin/tftp'],
  ['ipmitool', '/usr/bin/ipmitool'],
  ['openipmi', '/usr/bin/ipmi_sim'],
  ['openssl', '/usr/bin/openssl'],
  ['xdelta3', '/usr/bin/xdelta3'],
  ['rdiff', '/usr/bin/rdiff'],
  ['bsdiff', '/usr/bin/bsdiff'],
  ['rsync', '/usr/bin/rsync'],
  ['curl', '/usr/bin/curl'],
  ['attr', '/usr/bin/setfattr'],
  ['acl', '/usr/bin/getfacl'],
  ['libcap2-bin', '/usr/sbin/getcap'],
  ['bzip2', '/usr/bin/bzip2'],
  ['openssh-client', '/usr/bin/ssh-keygen'],
  ['dosfstools', '/usr/sbin/mkfs.vfat'],
  ['e2fsprogs', '/usr/sbin/mkfs.ext4'],
  ['fdisk', '/usr/sbin/sfdisk'],
  ['grub-common', '/usr/bin/grub-mkimage'],
  ['grub2-common', '/usr/sbin/grub-install'],
  ['grub-pc-bin', '/usr/lib/grub/i386-pc/boot.img'],
  ['grub-efi-amd64-bin', '/usr/lib/grub/x86_64-efi/moddep.lst'],
  ['git', '/usr/bin/git'],
  ['lldpd', '/usr/sbin/lldpd'],
  ['isc-dhcp-client', '/usr/sbin/dhclient'],
  ['tcpdump', '/usr/bin/tcpdump'],
];

/** Of the boot matrix alone. */
const ARM = [
  ['qemu-system-arm', '/usr/bin/qemu-system-aarch64'],
  ['qemu-efi-aarch64', '/usr/share/AAVMF/AAVMF_CODE.fd'],
];

/** What each command needs. */
export const PACKAGES = {
  demo: [...RAMDISK, ...LAB, ['openssh-client', '/usr/bin/ssh-keygen'], ['curl', '/usr/bin/curl']],
  bench: [
    ['rsync', '/usr/bin/rsync'],
    ['zstd', '/usr/bin/zstd'],
    ['xdelta3', '/usr/bin/xdelta3'],
    ['borgbackup', '/usr/bin/borg'],
    ['restic', '/usr/bin/restic'],
    ['time', '/usr/bin/time'],
    ['curl', '/usr/bin/curl'],
    ['atftp', '/usr/bin/atftp'],
    ['iproute2', '/usr/bin/ip'],
  ],
  test: [...RAMDISK, ...LAB, ...REFEREES],
  boot: [...RAMDISK, ...LAB, ...REFEREES, ...ARM],
};
