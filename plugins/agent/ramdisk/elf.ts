/** As much of 64-bit little-endian ELF (System V ABI, chapters 4 and 5) as choosing and shrinking binaries needs. */

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1n;
const DT_STRTAB = 5n;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: bigint;
  readonly fileBytes: number;
}

/** True for 64-bit little-endian ELF; scripts, text and other machines' binaries are not. */
export function isElf64(file: Buffer): boolean {
  return file.length >= 64 && file.readUInt32BE(0) === 0x7f454c46 && file[4] === 2 && file[5] === 1;
}

function segments(file: Buffer): Segment[] {
  const table = Number(file.readBigUInt64LE(0x20));
  const size = file.readUInt16LE(0x36);
  return Array.from({ length: file.readUInt16LE(0x38) }, (_, index) => {
    const at = table + index * size;
    return {
      type: file.readUInt32LE(at),
      offset: Number(file.readBigUInt64LE(at + 8)),
      address: file.readBigUInt64LE(at + 16),
      fileBytes: Number(file.readBigUInt64LE(at + 32)),
    };
  });
}

function text(file: Buffer, offset: number): string {
  return file.toString('latin1', offset, file.indexOf(0, offset));
}

/** Sonames of the shared libraries a program or library names as needed; empty for static ones. */
export function neededLibraries(file: Buffer): string[] {
  if (!isElf64(file)) return [];
  const all = segments(file);
  const dynamic = all.find((segment) => segment.type === PT_DYNAMIC);
  if (dynamic === undefined) return [];
  const needed: bigint[] = [];
  let strings: bigint | undefined;
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.fileBytes; at += 16) {
    const tag = file.readBigInt64LE(at);
    if (tag === 0n) break;
    if (tag === DT_NEEDED) needed.push(file.readBigUInt64LE(at + 8));
    if (tag === DT_STRTAB) strings = file.readBigUInt64LE(at + 8);
  }
  const base = strings === undefined ? undefined : fileOffset(all, strings);
  return base === undefined ? [] : needed.map((offset) => text(file, base + Number(offset)));
}

function fileOffset(all: readonly Segment[], address: bigint): number | undefined {
  const home = all.find(
    (segment) =>
      segment.type === PT_LOAD &&
      address >= segment.address &&
      address < segment.address + BigInt(segment.fileBytes),
  );
  return home && home.offset + Number(address - home.address);
}

/** Path of the dynamic loader a program asks for. */
export function interpreter(file: Buffer): string | undefined {
  if (!isElf64(file)) return undefined;
  const segment = segments(file).find(({ type }) => type === PT_INTERP);
  return segment && text(file, segment.offset);
}

/**
 * A program without what only debuggers and linkers read: everything past the last byte that a segment maps,
 * and the section table. For executables and shared objects, never for relocatable objects (kernel modules).
 */
export function withoutSections(file: Buffer): Buffer {
  if (!isElf64(file)) return file;
  const end = segments(file).reduce((most, { offset, fileBytes }) => Math.max(most, offset + fileBytes), 64);
  const shrunk = Buffer.from(file.subarray(0, end));
  shrunk.writeBigUInt64LE(0n, 0x28);
  shrunk.fill(0, 0x3a, 0x40);
  return shrunk;
}

/** Bytes of a section by name, or undefined. */
export function section(file: Buffer, name: string): Buffer | undefined {
  if (!isElf64(file)) return undefined;
  const table = Number(file.readBigUInt64LE(0x28));
  const size = file.readUInt16LE(0x3a);
  const header = (index: number) => {
    const at = table + index * size;
    return {
      name: file.readUInt32LE(at),
      offset: Number(file.readBigUInt64LE(at + 0x18)),
      bytes: Number(file.readBigUInt64LE(at + 0x20)),
    };
  };
  const names = header(file.readUInt16LE(0x3e)).offset;
  for (let index = 0; index < file.readUInt16LE(0x3c); index += 1) {
    const { name: at, offset, bytes } = header(index);
    if (text(file, names + at) === name) return file.subarray(offset, offset + bytes);
  }
  return undefined;
}
