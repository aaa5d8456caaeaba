import { stat } from 'node:fs/promises';
import { OverdubError } from '../../errors.ts';
import { type Call, type Command, defineCommand, type Flag, UsageError } from '../command.ts';
import { type Choice, chooseCodec } from '../deltas/choose.ts';
import { CODEC_FLAGS, codecNamed, type FileCodec, fileCodecs } from '../deltas/codecs.ts';
import { codecOfDelta, codecOfSignature } from '../deltas/file-kind.ts';
import { digestOf, inputBytes, OUTPUT_FLAGS, outputPath, pathOf, writeChecked } from '../deltas/paths.ts';
import { fileProgress } from '../deltas/progress.ts';
import { duration, size } from '../format.ts';

const FLAGS: Readonly<Record<string, Flag>> = { ...OUTPUT_FLAGS, ...CODEC_FLAGS };
const SHA256 = /^[0-9a-f]{64}$/i;

/** Binary deltas of files, in the formats of rdiff, xdelta3, zstd and bsdiff. They need no appliance. */
export const deltaCommands: readonly Command[] = [
  defineCommand({
    path: ['delta'],
    summary: 'Write what makes one file from another: rdiff, VCDIFF, zstd --patch-from, BSDIFF40',
    positionals: ['TARGET'],
    flags: {
      base: { type: 'string', value: 'FILE', summary: 'The file to start from' },
      signature: {
        type: 'string',
        value: 'FILE',
        summary: 'Its signature instead, where the base is not at hand',
      },
      codec: {
        type: 'string',
        value: 'NAME',
        summary: 'rsync, xdelta, zstd, bsdiff … (default: the smallest on samples)',
      },
      ...FLAGS,
    },
    examples: [
      'overdub delta --base old.img new.img -o new.delta',
      'overdub delta --signature old.sig new.img -o new.delta',
      'overdub delta --codec zstd --base old.tar new.tar -o new.zst   # zstd -d --patch-from=old.tar new.zst',
      'overdub delta --with diff-bsdiff --codec bsdiff --base old new -o new.bsdiff',
    ],
    run: makeDelta,
  }),
  defineCommand({
    path: ['patch'],
    summary: 'Make a file from its base and a delta of any known format',
    positionals: ['BASE', 'DELTA'],
    flags: {
      sha256: { type: 'string', value: 'HEX', summary: 'What the result must have, else it is not written' },
      ...FLAGS,
    },
    examples: [
      'overdub patch old.img new.delta -o new.img',
      'overdub patch old.img new.delta -o new.img --sha256 3f79bb7b435b05321651daefd374cdc6…',
    ],
    run: applyDelta,
  }),
  defineCommand({
    path: ['signature'],
    summary: 'Write a file’s signature: enough to make deltas against it elsewhere (rdiff)',
    positionals: ['BASE'],
    flags: {
      'block-bytes': {
        type: 'string',
        value: 'N',
        summary: 'Length of a block (default: what rdiff takes)',
      },
      sums: {
        type: 'string',
        value: 'NAME',
        summary: 'rabinkarp-blake2 (default), rollsum-blake2, rabinkarp-md4, rollsum-md4',
      },
      codec: { type: 'string', value: 'NAME', summary: 'Whose signature (default: the first that has any)' },
      ...FLAGS,
    },
    examples: [
      'overdub signature old.img -o old.sig',
      'overdub signature old.img -o old.sig --block-bytes 512 --sums rollsum-blake2',
    ],
    run: makeSignature,
  }),
];

async function makeDelta(call: Call): Promise<number> {
  const { environment } = call;
  const [base, signature] = [call.text('base'), call.text('signature')];
  if ((base === undefined) === (signature === undefined)) {
    throw new UsageError('Name the base with --base FILE, or its signature with --signature FILE.');
  }
  const from = pathOf(call, base ?? (signature as string));
  const target = pathOf(call, call.positional(0));
  const baseBytes = await inputBytes(from);
  const targetBytes = await inputBytes(target);
  const output = await outputPath(call);
  const codecs = await fileCodecs(call);
  const began = environment.now();
  const chosen =
    base === undefined
      ? { codec: await signed(call, from, codecs), reason: 'the signature’s', trials: [] }
      : await chosenCodec(call, codecs, from, target);
  const { files, name } = chosen.codec;
  await working(call, `${name} delta`, async (options) => {
    if (base === undefined) await files.signatures?.delta(from, target, output, options);
    else await files.delta(from, target, output, options);
  });
  const sha256 = await digestOf(target, environment.signal);
  const deltaBytes = (await stat(output)).size;
  const facts = {
    output,
    codec: name,
    format: files.format.title,
    chosen: chosen.reason,
    trials: chosen.trials,
    ...(base === undefined ? { signatureBytes: baseBytes } : { baseBytes }),
    targetBytes,
    deltaBytes,
    ratio: targetBytes === 0 ? null : deltaBytes / targetBytes,
    seconds: (environment.now() - began) / 1000,
    sha256,
  };
  call.show(facts, () =>
    [
      `${output}: ${files.format.title}, ${size(deltaBytes)} for ${size(targetBytes)}${share(facts.ratio)} in ${duration(facts.seconds * 1000)}`,
      `codec ${name}: ${chosen.reason}`,
      `sha256 of the target: ${sha256}`,
    ].join('\n'),
  );
  return 0;
}

async function applyDelta(call: Call): Promise<number> {
  const { environment } = call;
  const [base, delta] = [pathOf(call, call.positional(0)), pathOf(call, call.positional(1))];
  const sha256 = call.text('sha256')?.toLowerCase();
  if (sha256 !== undefined && !SHA256.test(sha256))
    throw new UsageError('--sha256 takes 64 hexadecimal digits.');
  const baseBytes = await inputBytes(base);
  const deltaBytes = await inputBytes(delta);
  const output = await outputPath(call);
  const { files, name } = await codecOfDelta(delta, await fileCodecs(call));
  const began = environment.now();
  await working(call, `${name} patch`, (options) =>
    sha256 === undefined
      ? files.patch(base, delta, output, options)
      : writeChecked(output, sha256, environment.signal, (path) => files.patch(base, delta, path, options)),
  );
  const targetBytes = (await stat(output)).size;
  const seconds = (environment.now() - began) / 1000;
  const checked = sha256 !== undefined || files.format.checksummed;
  call.show(
    { output, codec: name, format: files.format.title, baseBytes, deltaBytes, targetBytes, seconds, checked },
    () =>
      [
        `${output}: ${size(targetBytes)} from ${files.format.title} in ${duration(seconds * 1000)}`,
        ...(checked ? [] : [`${files.format.title} does not know its base: compare with --sha256.`]),
      ].join('\n'),
  );
  return 0;
}

async function makeSignature(call: Call): Promise<number> {
  const { environment } = call;
  const base = pathOf(call, call.positional(0));
  const baseBytes = await inputBytes(base);
  const blockBytes = wholeNumber(call.text('block-bytes'));
  const output = await outputPath(call);
  const { files, name } = await signing(call);
  const wanted = call.text('sums');
  const sums = files.signatures?.sums.find((choice) => choice.name === wanted);
  if (sums?.warning !== undefined) environment.err(`warning: ${sums.warning}\n`);
  const began = environment.now();
  await working(call, `${name} signature`, async (options) => {
    await files.signatures?.sign(base, output, {
      ...options,
      ...(blockBytes === undefined ? {} : { blockBytes }),
      ...(wanted === undefined ? {} : { sums: wanted }),
    });
  });
  const signatureBytes = (await stat(output)).size;
  const seconds = (environment.now() - began) / 1000;
  call.show(
    {
      output,
      codec: name,
      baseBytes,
      signatureBytes,
      ratio: baseBytes === 0 ? null : signatureBytes / baseBytes,
      seconds,
    },
    () => `${output}: ${size(signatureBytes)} for ${size(baseBytes)} in ${duration(seconds * 1000)}`,
  );
  return 0;
}

async function chosenCodec(
  call: Call,
  codecs: readonly FileCodec[],
  base: string,
  target: string,
): Promise<Choice> {
  const name = call.text('codec');
  if (name === undefined) return chooseCodec(codecs, base, target, call.environment.signal);
  return { codec: codecNamed(codecs, name), reason: 'asked for', trials: [] };
}

async function signed(call: Call, signature: string, codecs: readonly FileCodec[]): Promise<FileCodec> {
  const codec = await codecOfSignature(signature, codecs);
  const name = call.text('codec');
  if (name === undefined || name === codec.name) return codec;
  throw new UsageError(`The signature is one of the codec ${codec.name}, not of ${name}.`);
}

async function signing(call: Call): Promise<FileCodec> {
  const codecs = await fileCodecs(call);
  const name = call.text('codec');
  const codec = name === undefined ? codecs.find(({ files }) => files.signatures) : codecNamed(codecs, name);
  if (codec?.files.signatures !== undefined) return codec;
  throw new OverdubError(
    'NOT_FOUND',
    name === undefined ? 'No loaded codec makes signatures.' : `The codec ${name} makes no signatures.`,
    'Use the codec rsync: --with diff-rsync.',
  );
}

/** Runs the work with a line of progress that is gone when it ends, however it ends. */
async function working(
  call: Call,
  what: string,
  work: (options: {
    readonly signal: AbortSignal;
    readonly onProgress: (done: number, total: number) => void;
  }) => Promise<void>,
): Promise<void> {
  const progress = fileProgress(call, what);
  try {
    await work({ signal: call.environment.signal, onProgress: progress.onProgress });
  } catch (error) {
    if (!call.environment.signal.aborted) throw error;
    throw new OverdubError('OPERATION_CANCELLED', 'Interrupted; nothing was written.', 'Run it again.');
  } finally {
    progress.end();
  }
}

function wholeNumber(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new UsageError(`--block-bytes takes a whole number of bytes, not ${text}.`);
}

function share(ratio: number | null): string {
  return ratio === null ? '' : ` (${(100 * ratio).toPrecision(3)} %)`;
}
