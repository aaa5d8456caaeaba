/** Numbers of the bzip2 format, as libbzip2 1.0.8 reads and writes it. */

/** First bytes of a block, and of the end of a stream: digits of pi and of its root. */
export const BLOCK_MAGIC = 0x314159265359;
export const END_MAGIC = 0x177245385090;

/** `BZh`, then the level as a digit: blocks of that many hundred thousand bytes. */
export const STREAM_MAGIC: readonly number[] = [0x42, 0x5a, 0x68];
export const LEVEL_BYTES = 100_000;

/** Symbols that share one choice of table. */
export const GROUP_SYMBOLS = 50;
export const MAX_TABLES = 6;
export const MAX_SELECTORS = 18_002;
/** Longest code that is read; the writer stays at 17, as libbzip2 does. */
export const MAX_CODE_BITS = 20;

/** Run lengths of zeros in bijective base 2. */
export const RUN_A = 0;
export const RUN_B = 1;
