/** The codecs that commands on files work with: those of the configuration, of the defaults, and any named. */

import { join } from 'node:path';
import type { ApplianceConfig } from '../../contracts/config.ts';
import type { DeltaCodec, FileFeature } from '../../contracts/delta-codec.ts';
import type { ConfiguredPlugin } from '../../contracts/plugin.ts';
import { OverdubError } from '../../errors.ts';
import type { Call, Flag } from '../command.ts';
import { configurationOf } from '../configuration.ts';
import { localClock, stderrLog } from '../local.ts';

/** A codec that takes whole files. */
export interface FileCodec extends DeltaCodec {
  readonly files: FileFeature;
}

/** Of every command that loads codecs. */
export const CODEC_FLAGS: Readonly<Record<string, Flag>> = {
  config: {
    type: 'string',
    value: 'FILE',
    summary: 'Configuration whose codecs are used too (overdub.config.* here)',
  },
  with: {
    type: 'string',
    multiple: true,
    value: 'PLUGIN',
    summary: 'A codec plugin to load besides: diff-bsdiff, a package, ./mine.ts',
  },
};

/** Starts nothing and needs no appliance. The first of a name counts: named, then configured, then default. */
export async function fileCodecs(call: Call): Promise<readonly FileCodec[]> {
  const { environment } = call;
  const configuration = await configurationOf({ config: call.text('config') }, environment);
  const { inspectPlugins, pluginFromName } = await import('../../index.ts');
  const beside = configuration.file ?? join(environment.cwd, 'overdub.config.ts');
  const named = await Promise.all(call.list('with').map((plugin) => pluginFromName({ plugin }, beside)));
  const codecsOf = (plugins: ApplianceConfig['plugins']): Promise<readonly DeltaCodec[]> =>
    inspectPlugins(
      { ...configuration.config, plugins },
      { state: configuration.state, log: stderrLog(environment), clock: localClock },
    ).codecs();
  const found = [
    ...(await codecsOf(named)),
    ...(await codecsOf(without(configuration.config.plugins, named))),
  ];
  if (configuration.file !== undefined && environment.defaults !== undefined) {
    found.push(...(await codecsOf((await environment.defaults()).plugins)));
  }
  return found.filter(
    (codec, index): codec is FileCodec =>
      codec.files !== undefined && found.findIndex(({ name }) => name === codec.name) === index,
  );
}

/** The codec of this name; NOT_FOUND tells which there are. */
export function codecNamed(codecs: readonly FileCodec[], name: string): FileCodec {
  const found = codecs.find((codec) => codec.name === name);
  if (found !== undefined) return found;
  throw new OverdubError(
    'NOT_FOUND',
    `There is no codec ${name}; there are ${codecs.map((codec) => codec.name).join(', ') || 'none'}.`,
    'Name one of these, or load its plugin: --with diff-NAME.',
  );
}

function without(
  plugins: readonly ConfiguredPlugin[],
  named: readonly ConfiguredPlugin[],
): readonly ConfiguredPlugin[] {
  const names = new Set(named.map(({ definition }) => definition.name));
  return plugins.filter(({ definition }) => !names.has(definition.name));
}
