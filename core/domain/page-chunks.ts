import type { Digest } from './manifest.ts';
import { decodePage, PAGE_HEADER } from './pages.ts';

/** Nothing within it ends it. No path has ten thousand letters that need an escape: such a page is for the decoder. */
const STRING = String.raw`"[^"\\\n]*(?:\\.[^"\\\n]*){0,9999}"`;
const METADATA = String.raw`"m":\d+,"u":\d+,"g":\d+,"n":"-?\d+"`;
/** Of a list of chunks only its letters are looked at here: a file of 100 GB has a hundred thousand. */
const CONTENT = String.raw`"c":\[(\d+),"([0-9a-f]{64})"(?:,\[([[\]",0-9a-f]+)\])?\]`;
const FILE = `f",${METADATA},${CONTENT}(?:,"s":1)?`;
/** Without content, and with nothing behind it that could be one: of two equal keys the last is what counts. */
const OTHER = String.raw`[dlhcbp]",${METADATA}(?:,"l":${STRING}|,"d":\[\d+,\d+\])?`;
/** Names that hold a brace or a bracket are for the decoder. */
const XATTRS = String.raw`(?:,"x":\{[^{}[\]\n]*\})?`;
/** A line as the encoder writes it, with its end: all of its keys, each once. */
const LINE = new RegExp(String.raw`\{"p":${STRING},"t":"(?:${FILE}|${OTHER})${XATTRS}\}\n`, 'y');
const CHUNK = /\["([0-9a-f]{64})",\d+\](,|$)/y;

/**
 * Digests of the chunks that the files of a page consist of, in order and as often as they are listed: what {@link decodePage} would give,
 * for a fifth of the time, since entries are neither made nor checked. A page that is not as {@link encodePage} writes it is decoded.
 * IMAGE_INVALID where that cannot be.
 */
export function chunksOfPage(page: Uint8Array): Digest[] {
  return (
    scanned(page) ??
    decodePage(page).flatMap(({ content }) => content?.chunks.map(({ digest }) => digest) ?? [])
  );
}

/** Undefined unless every line is as it is written, and short enough for an expression that goes back. */
function scanned(page: Uint8Array): Digest[] | undefined {
  try {
    return scan(page);
  } catch (error) {
    // What the engine of expressions says of a name of millions of escapes.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function scan({ buffer, byteOffset, byteLength }: Uint8Array): Digest[] | undefined {
  // A byte a character: of names, which alone have others, only the quotes that end them matter.
  const text = Buffer.from(buffer, byteOffset, byteLength).toString('latin1');
  if (!text.startsWith(`${PAGE_HEADER}\n`)) return undefined;
  const digests: Digest[] = [];
  LINE.lastIndex = PAGE_HEADER.length + 1;
  while (LINE.lastIndex < text.length) {
    const line = LINE.exec(text);
    if (line === null) return undefined;
    const [, bytes, digest, chunks] = line;
    if (chunks !== undefined) {
      if (!addListed(chunks, digests)) return undefined;
    } else if (digest !== undefined && bytes !== '0') digests.push(digest);
  }
  return digests;
}

/** Adds the digests of a list of chunks; false where it is none. */
function addListed(list: string, digests: Digest[]): boolean {
  CHUNK.lastIndex = 0;
  while (CHUNK.lastIndex < list.length) {
    const chunk = CHUNK.exec(list);
    if (chunk === null) return false;
    digests.push(chunk[1] as Digest);
  }
  return !list.endsWith(',');
}
