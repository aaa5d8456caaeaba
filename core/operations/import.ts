/** A directory, a tar or an OCI archive becomes the next version of a master. Fails whole or succeeds whole. */

import { stat } from 'node:fs/promises';
import type { ImageSource, SourceEntry } from '../contracts/image-source.ts';
import type { IngestSession } from '../contracts/repository.ts';
import type { Arch } from '../domain/machine.ts';
import type { Entry } from '../domain/manifest.ts';
import { formatMaster, type Master } from '../domain/master.ts';
import { OverdubError } from '../errors.ts';
import { HOUR_MS, type OperationDefinition, recall, type StepContext } from './definition.ts';
import { ImageSurvey } from './image-survey.ts';
import { newestKernel } from './kernels.ts';
import type { OperationServices } from './services.ts';

export interface ImportParameters {
  readonly name: string;
  readonly source: string;
  readonly allowUnbootable: boolean;
}

interface ImportMemory {
  /** Chosen before the commit, so that a step cut off after it does not commit twice. */
  readonly version: number;
  readonly importedAt: string;
}

const PROGRESS_EVERY_ENTRIES = 500;

export function importMaster(services: OperationServices): OperationDefinition {
  const steps = [
    { name: 'import', deadlineMs: 24 * HOUR_MS, run: (context: StepContext) => run(services, context) },
  ];
  return { kind: 'import', steps: () => steps };
}

async function run(services: OperationServices, context: StepContext): Promise<void> {
  const committed = await committedBefore(services, context);
  const master = committed ?? (await read(services, context));
  await context.remember({
    result: {
      master: formatMaster(master),
      arch: master.arch,
      kernel: master.kernel?.version ?? null,
      entries: master.manifest.entries,
      bytes: master.manifest.bytes,
    },
  });
}

async function committedBefore(
  { repository }: OperationServices,
  { operation }: StepContext,
): Promise<Master | undefined> {
  const { version, importedAt } = recall<ImportMemory>(operation);
  const { name } = parametersOf(operation);
  return (await repository.listMasters()).find(
    (master) => master.name === name && master.version === version && master.importedAt === importedAt,
  );
}

async function read(services: OperationServices, context: StepContext): Promise<Master> {
  const { source } = parametersOf(context.operation);
  await assertReadable(source);
  const opened = await services.openSource(source);
  if (opened === undefined) {
    throw new OverdubError(
      'IMAGE_INVALID',
      `Nothing here reads ${source} as an image.`,
      'Name a directory, a tar or an OCI archive, and load an imaging plugin such as imaging-tree.',
    );
  }
  try {
    const session = await services.repository.ingest({
      label: `import ${context.operation.id}`,
      signal: context.signal,
    });
    try {
      return await ingest(services, context, opened, session);
    } finally {
      await session.close();
    }
  } finally {
    await opened.close();
  }
}

async function ingest(
  { repository, clock }: OperationServices,
  context: StepContext,
  source: ImageSource,
  session: IngestSession,
): Promise<Master> {
  const { name, source: path, allowUnbootable } = parametersOf(context.operation);
  const survey = new ImageSurvey();
  const manifest = await session.writeManifest(storeEntries(source, session, survey, context));
  const kernel = newestKernel(survey.kernels());
  if (kernel === undefined && !allowUnbootable) throw unbootable(path);
  const arch = archOf(survey, path, allowUnbootable);
  await session.flush();
  context.signal.throwIfAborted();
  const versions = (await repository.listMasters()).filter((master) => master.name === name);
  const memory: ImportMemory = {
    version: Math.max(0, ...versions.map(({ version }) => version)) + 1,
    importedAt: new Date(clock.now()).toISOString(),
  };
  await context.remember({ ...memory });
  const master: Master = {
    name,
    ...memory,
    kind: 'tree',
    arch,
    manifest,
    ...(kernel === undefined ? {} : { kernel }),
    source: path,
  };
  await repository.commitMaster(master);
  return master;
}

async function* storeEntries(
  source: ImageSource,
  session: IngestSession,
  survey: ImageSurvey,
  { signal, progress }: StepContext,
): AsyncGenerator<Entry> {
  let doneBytes = 0;
  let entries = 0;
  for await (const found of source.entries(signal)) {
    signal.throwIfAborted();
    const entry = await storeEntry(found, session, survey);
    doneBytes += entry.content?.bytes ?? 0;
    entries += 1;
    if (entries % PROGRESS_EVERY_ENTRIES === 0) progress({ doneBytes, text: `${entries} entries` });
    yield entry;
  }
  progress({ doneBytes, text: `${entries} entries` });
}

async function storeEntry(
  { entry, bytes, open }: SourceEntry,
  session: IngestSession,
  survey: ImageSurvey,
): Promise<Entry> {
  survey.see(entry);
  if (entry.type !== 'file') return entry;
  const content = await session.addStream(survey.peek(entry.path, open === undefined ? empty() : open()));
  if (bytes !== undefined && content.bytes !== bytes) {
    throw new OverdubError(
      'IMAGE_INVALID',
      `${entry.path} should have ${bytes} bytes and has ${content.bytes}: the image is truncated or changing.`,
      'Make the archive again, or import a directory that nothing writes to.',
    );
  }
  return { ...entry, content };
}

async function* empty(): AsyncGenerator<Uint8Array> {}

async function assertReadable(path: string): Promise<void> {
  await stat(path).catch((error) => {
    throw new OverdubError(
      'NOT_FOUND',
      `The source ${path} cannot be read on the appliance: ${(error as Error).message}.`,
      'Copy it to the appliance and name its absolute path there.',
      { cause: error },
    );
  });
}

function archOf(survey: ImageSurvey, path: string, allowUnbootable: boolean): Arch {
  const { arch, unknown } = survey.machine();
  if (arch !== undefined) return arch;
  // Without one program inside there is nothing an architecture could matter to.
  if (unknown === undefined && allowUnbootable) return 'x86_64';
  throw new OverdubError(
    'ARCH_UNKNOWN',
    unknown === undefined
      ? `${path} holds no program in /bin or /usr/bin that would tell its processor architecture.`
      : `The programs in ${path} are for a processor that is not supported (ELF machine ${unknown}).`,
    'Import an image for x86_64 or arm64.',
  );
}

function unbootable(path: string): OverdubError {
  return new OverdubError(
    'MASTER_UNBOOTABLE',
    `${path} has no kernel with its initramfs (boot/vmlinuz-VERSION and boot/initrd.img-VERSION).`,
    'Install a kernel package in it, or import it with --allow-unbootable to use it without machines.',
  );
}

function parametersOf(operation: { readonly parameters: object }): ImportParameters {
  return operation.parameters as ImportParameters;
}
