/** One driver for every hook: taps become promise taps, failures name plugin and hook. Only this imports tapable. */

import { AsyncSeriesBailHook, AsyncSeriesHook } from 'tapable';
import { OverdubError, toOverdubError } from '../errors.ts';
import {
  type CallResult,
  HOOK_NAMES,
  HOOK_TABLE,
  type HookCalls,
  type HookName,
  type HookTaps,
  type TapOptions,
} from './hooks.ts';
import { tapGroups } from './tap-groups.ts';

/** Told of failures that must not reach the caller (isolated hooks). */
export type OnIsolatedFailure = (error: OverdubError) => void;

type Handler = (input: unknown) => unknown;
type AnyHook = AsyncSeriesBailHook<[unknown], unknown> | AsyncSeriesHook<[unknown, unknown[]]>;

/** tapable's constructors have no prototype (`instanceof` throws), so the table tells the kinds apart. */
function isBail(name: HookName, _hook: AnyHook): _hook is AsyncSeriesBailHook<[unknown], unknown> {
  return HOOK_TABLE[name].kind === 'bail';
}

/** Builds the frozen hook groups. */
export function createHooks(onIsolatedFailure: OnIsolatedFailure): HookCalls {
  const hooks = new Map<HookName, AnyHook>(
    HOOK_NAMES.map((name) => [
      name,
      HOOK_TABLE[name].kind === 'bail'
        ? new AsyncSeriesBailHook<[unknown], unknown>(['input'], name)
        : new AsyncSeriesHook<[unknown, unknown[]]>(['input', 'answers'], name),
    ]),
  );
  return Object.freeze({
    async call<N extends HookName>(name: N, input: unknown): Promise<CallResult<N>> {
      const hook = hooks.get(name) as AnyHook;
      if (isBail(name, hook)) return (await hook.promise(input)) as CallResult<N>;
      const answers: unknown[] = [];
      await hook.promise(input, answers);
      return (HOOK_TABLE[name].kind === 'collect' ? answers : undefined) as CallResult<N>;
    },
    tapsFor: (plugin: string) => tapsFor(plugin, hooks, onIsolatedFailure),
    tapped: (name: HookName) => (hooks.get(name) as AnyHook).taps.map((tap) => tap.name),
  });
}

function tapsFor(
  plugin: string,
  hooks: ReadonlyMap<HookName, AnyHook>,
  onIsolatedFailure: OnIsolatedFailure,
): HookTaps {
  return tapGroups(plugin, hooks.keys(), (name) => ({
    tap: (handler: Handler, options: TapOptions = {}) =>
      tapOne(plugin, name, hooks.get(name) as AnyHook, handler, options, onIsolatedFailure),
  }));
}

function tapOne(
  plugin: string,
  name: HookName,
  hook: AnyHook,
  handler: Handler,
  options: TapOptions,
  onIsolatedFailure: OnIsolatedFailure,
): void {
  if (typeof handler !== 'function') {
    throw new OverdubError(
      'PLUGIN_FAILED',
      `${plugin} taps ${name} with something that is not a function.`,
      'Pass a function to tap().',
      { plugin, hook: name },
    );
  }
  const unknown = Object.keys(options).filter((key) => key !== 'stage');
  if (unknown.length > 0) {
    throw new OverdubError(
      'PLUGIN_FAILED',
      `${plugin} taps ${name} with unknown options: ${unknown.join(', ')}.`,
      'Only `stage` orders taps; `before` is refused because a misspelt name would silently come first.',
      { plugin, hook: name },
    );
  }
  const tapOptions = { name: plugin, stage: options.stage ?? 0 };
  const attributed = async (input: unknown): Promise<unknown> => {
    try {
      return (await handler(input)) ?? undefined;
    } catch (error) {
      throw attribute(error, plugin, name);
    }
  };
  if (isBail(name, hook)) {
    hook.tapPromise(tapOptions, attributed);
    return;
  }
  const isolated = HOOK_TABLE[name].kind === 'isolated';
  hook.tapPromise(tapOptions, async (input, answers) => {
    try {
      const answer = await attributed(input);
      if (answer !== undefined) answers.push(answer);
    } catch (error) {
      if (!isolated) throw error;
      onIsolatedFailure(error as OverdubError);
    }
  });
}

/** A coded error keeps its code; anything else becomes PLUGIN_FAILED. Both then name plugin and hook. */
export function attribute(error: unknown, plugin: string, hook: string): OverdubError {
  const coded = toOverdubError(
    error,
    'PLUGIN_FAILED',
    `Look at the log of plugin ${plugin}, or disable it in the configuration.`,
  );
  if (coded.plugin !== undefined) return coded;
  return new OverdubError(coded.code, `${plugin} failed in ${hook}: ${coded.message}`, coded.remedy, {
    cause: error,
    plugin,
    hook,
  });
}
