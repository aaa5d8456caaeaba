import type { PluginContributions } from '../contracts/plugin.ts';
import { OverdubError } from '../errors.ts';

/** CONFIG_INVALID when a route prefix lies inside another plugin's. */
export function assertDistinctPrefixes(
  routes: readonly { readonly plugin: string; readonly prefix: string }[],
): void {
  for (const [index, route] of routes.entries()) {
    const other = routes
      .slice(0, index)
      .find((each) => inside(each.prefix, route.prefix) || inside(route.prefix, each.prefix));
    if (other === undefined || other.plugin === route.plugin) continue;
    throw new OverdubError(
      'CONFIG_INVALID',
      `${route.plugin} serves ${route.prefix}, which overlaps ${other.prefix} of ${other.plugin}.`,
      'Remove one of the two plugins, or give one another prefix.',
      { plugin: route.plugin },
    );
  }
}

function inside(outer: string, inner: string): boolean {
  return inner === outer || inner.startsWith(outer.endsWith('/') ? outer : `${outer}/`);
}

/** CONFIG_INVALID when two plugins build the agent's program. */
export function assertOneBundle(
  hosted: readonly { readonly name: string; readonly contributions: PluginContributions }[],
): void {
  const [first, second] = hosted.filter(({ contributions }) => contributions.agentBundle !== undefined);
  if (first === undefined || second === undefined) return;
  throw new OverdubError(
    'CONFIG_INVALID',
    `${second.name} and ${first.name} both build the program that machines run.`,
    'Remove one of the two plugins.',
    { plugin: second.name },
  );
}
