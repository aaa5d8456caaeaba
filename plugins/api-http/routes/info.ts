import { type Api, route } from '../route.ts';

export function infoRoutes(api: Api): void {
  route(api, {
    method: 'GET',
    url: '/info',
    role: 'viewer',
    tag: 'appliance',
    summary: 'Version, plugins and repository of the appliance',
    response: 'Info',
    handle: ({ control }) => control.info(),
  });
}
