/** Finds an image's newest kernel by the names distributions give them. */

/** A kernel image and its initramfs, paths in the image. */
export interface Kernel {
  readonly version: string;
  readonly image: string;
  readonly initrd: string;
}

/** Where the initramfs of a version lies: Debian and Ubuntu, Fedora and its kin, Arch and SUSE. */
const INITRDS = [
  (version: string) => `boot/initrd.img-${version}`,
  (version: string) => `boot/initramfs-${version}.img`,
  (version: string) => `boot/initrd-${version}`,
];

/** Kernels among these paths that have their initramfs. */
export function kernelsIn(paths: Iterable<string>): Kernel[] {
  const all = new Set(paths);
  const kernels: Kernel[] = [];
  for (const image of all) {
    const version = /^boot\/vmlinuz-([^/]+)$/.exec(image)?.[1];
    if (version === undefined) continue;
    const initrd = INITRDS.map((name) => name(version)).find((path) => all.has(path));
    if (initrd !== undefined) kernels.push({ version, image, initrd });
  }
  return kernels;
}

export function newestKernel(kernels: readonly Kernel[]): Kernel | undefined {
  return kernels.toSorted((a, b) => compareVersions(a.version, b.version)).at(-1);
}

/**
 * Orders versions as dpkg does (deb-version(7)): runs of digits as numbers, letters before other characters, `~`
 * before everything, the end of the string included.
 */
export function compareVersions(a: string, b: string): number {
  let [left, right] = [a, b];
  while (left !== '' || right !== '') {
    const [leftText, leftDigits] = head(left);
    const [rightText, rightDigits] = head(right);
    const order = compareText(leftText, rightText) || compareDigits(leftDigits, rightDigits);
    if (order !== 0) return order;
    left = left.slice(leftText.length + leftDigits.length);
    right = right.slice(rightText.length + rightDigits.length);
  }
  return 0;
}

function head(text: string): [string, string] {
  const match = /^([^0-9]*)([0-9]*)/.exec(text) as RegExpExecArray;
  return [match[1] ?? '', match[2] ?? ''];
}

function compareText(a: string, b: string): number {
  for (let at = 0; at < Math.max(a.length, b.length); at++) {
    const order = weight(a[at]) - weight(b[at]);
    if (order !== 0) return order;
  }
  return 0;
}

function weight(character: string | undefined): number {
  if (character === '~') return -1;
  if (character === undefined) return 0;
  return /[A-Za-z]/.test(character) ? character.charCodeAt(0) : character.charCodeAt(0) + 256;
}

function compareDigits(a: string, b: string): number {
  const [left, right] = [BigInt(a === '' ? 0 : a), BigInt(b === '' ? 0 : b)];
  return left < right ? -1 : left > right ? 1 : 0;
}
