/** The hooks as a plugin sees them: `taps.boot.plan.tap(…)`. */

import { OverdubError } from '../errors.ts';
import type { HookName, HookTaps } from './hooks.ts';

/** Groups of frozen taps, one for each name. A plugin in plain JavaScript hears what it misspelt, and which names there are. */
export function tapGroups(
  plugin: string,
  names: Iterable<HookName>,
  tapOf: (name: HookName) => object,
): HookTaps {
  const groups: Record<string, Record<string, object>> = {};
  for (const name of names) {
    const [group, verb] = name.split('.') as [string, string];
    groups[group] ??= {};
    groups[group][verb] = Object.freeze(tapOf(name));
  }
  const named = Object.entries(groups).map(
    ([group, verbs]) => [group, known(plugin, Object.freeze(verbs), `${group}.`)] as const,
  );
  return known(plugin, Object.freeze(Object.fromEntries(named)), '') as unknown as HookTaps;
}

function known<T extends object>(plugin: string, members: T, prefix: string): T {
  return new Proxy(members, {
    get(target, name, receiver) {
      if (typeof name === 'symbol' || name in target) return Reflect.get(target, name, receiver);
      throw new OverdubError(
        'PLUGIN_FAILED',
        `${plugin} asks for ${prefix}${name}, which is no hook${prefix === '' ? ' group' : ''}.`,
        `There are ${Object.keys(target)
          .map((one) => prefix + one)
          .join(', ')}.`,
        { plugin, hook: `${prefix}${name}` },
      );
    },
  });
}
