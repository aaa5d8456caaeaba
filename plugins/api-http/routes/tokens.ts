import { Type } from 'typebox';
import { type Api, route } from '../route.ts';
import { RoleName } from '../schemas.ts';

const tag = 'tokens';

export function tokenRoutes(api: Api): void {
  route(api, {
    method: 'POST',
    url: '/tokens',
    role: 'admin',
    tag,
    summary: 'Makes a token; its secret is in the answer and nowhere else',
    body: Type.Object({
      name: Type.String({ minLength: 1, maxLength: 63 }),
      role: RoleName,
      server: Type.Optional(Type.String({ description: 'Limits an operator token to one server' })),
    }),
    response: 'NewToken',
    status: 201,
    handle: ({ control, body, by }) => control.createToken(body, by),
  });
  route(api, {
    method: 'GET',
    url: '/tokens',
    role: 'admin',
    tag,
    summary: 'All tokens, without their secrets',
    response: { list: 'Token' },
    handle: ({ control }) => control.listTokens(),
  });
  route(api, {
    method: 'DELETE',
    url: '/tokens/:token',
    role: 'admin',
    tag,
    summary: 'Revokes a token',
    params: Type.Object({ token: Type.String() }),
    handle: ({ control, params: { token }, by }) => control.revokeToken(token, by),
  });
}
