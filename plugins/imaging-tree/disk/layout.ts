/** The partitions of every server's disk: GPT with a BIOS boot partition, an EFI system partition and the root. */

export const ESP_BYTES = 256 * 1024 * 1024;
/** Both partition tables, alignment and the BIOS boot partition. */
export const OVERHEAD_BYTES = 4 * 1024 * 1024;

/** Partition numbers. */
export const PARTITIONS = { biosBoot: 1, esp: 2, root: 3 } as const;

/** Partition type GUIDs: UEFI 2.10 §5.3.3, GRUB manual §3.4, Discoverable Partitions Specification. */
export const TYPE_GUIDS = {
  biosBoot: '21686148-6449-6E6F-744E-656564454649',
  esp: 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B',
  root: '0FC63DAF-8483-4772-8E79-3D69D8477DE4',
} as const;

/** Input for sfdisk(8), which aligns to 1 MiB whatever the sector size. */
export const SFDISK_SCRIPT = `label: gpt
size=1MiB, type=${TYPE_GUIDS.biosBoot}, name=overdub-bios
size=256MiB, type=${TYPE_GUIDS.esp}, name=overdub-esp
type=${TYPE_GUIDS.root}, name=overdub-root
`;
