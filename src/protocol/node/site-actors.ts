import type { Catalog } from '../catalog/catalog.ts';
import type { Member } from '../membership/member.ts';
import type { SiteActor } from '../uplink/message.ts';

/** The members of the ring, each with the actor of its disk as it is now. */
export function siteActors(catalog: Catalog, members: readonly Member[]): SiteActor[] {
  const names = new Map(members.map(({ id, profile }) => [id, profile.name]));
  return catalog.state().members.flatMap(({ id }) => {
    const actor = catalog.ringRecord(id)?.own.actor;
    const name = names.get(id);
    return actor === undefined || actor === '' || name === undefined ? [] : [{ actor, name }];
  });
}
