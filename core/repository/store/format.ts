import { randomUUID } from 'node:crypto';
import type { Clock } from '../../contracts/clock.ts';
import { OverdubError } from '../../errors.ts';
import { damaged } from './damage.ts';
import type { PortableStore } from './portable-store.ts';

/** The blob that makes a store a repository. */
export const FORMAT_NAME = 'format.json';
export const FORMAT_VERSION = 4;

/** What the format blob says. */
export interface RepositoryFormat {
  readonly format: 'overdub-repository';
  readonly version: number;
  /** Names this repository for good; indexes elsewhere remember which one they are of. */
  readonly id: string;
  readonly createdAt: string;
}

/** Reads the format blob, raising an older version, or makes one in an empty store. CONFLICT when a newer Overdub wrote it. */
export async function openFormat(store: PortableStore, clock: Clock): Promise<RepositoryFormat> {
  const bytes = (await store.read(FORMAT_NAME)) ?? (await create(store, clock));
  const format = parse(bytes);
  if (format.version > FORMAT_VERSION) {
    throw new OverdubError(
      'CONFLICT',
      `The repository has format version ${format.version}; this Overdub knows versions up to ${FORMAT_VERSION}.`,
      'Use the Overdub that wrote it, or a newer one.',
    );
  }
  if (format.version === FORMAT_VERSION) return format;
  // Before anything of the new format is written: an older Overdub then refuses, and does not see damage.
  const raised = { ...format, version: FORMAT_VERSION };
  await store.write(FORMAT_NAME, [encode(raised)]);
  return raised;
}

function encode(format: RepositoryFormat): Uint8Array {
  return Buffer.from(`${JSON.stringify(format)}\n`, 'utf8');
}

async function create(store: PortableStore, clock: Clock): Promise<Uint8Array> {
  for await (const blob of store.list('packs/')) {
    throw damaged(
      `The repository holds ${blob.name} but no ${FORMAT_NAME}; it was lost, or this is something else.`,
    );
  }
  const format: RepositoryFormat = {
    format: 'overdub-repository',
    version: FORMAT_VERSION,
    id: randomUUID(),
    createdAt: new Date(clock.now()).toISOString(),
  };
  const bytes = encode(format);
  if (await store.writeNew(FORMAT_NAME, bytes)) return bytes;
  return (await store.read(FORMAT_NAME)) ?? bytes;
}

function parse(bytes: Uint8Array): RepositoryFormat {
  try {
    const format = JSON.parse(Buffer.from(bytes).toString('utf8')) as RepositoryFormat;
    const proper = format.format === 'overdub-repository' && Number.isSafeInteger(format.version);
    if (proper && typeof format.id === 'string') return format;
  } catch (error) {
    throw damaged(`${FORMAT_NAME} of the repository is no JSON.`, error);
  }
  throw damaged(`${FORMAT_NAME} does not say that this is an Overdub repository.`);
}
