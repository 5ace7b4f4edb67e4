// What a guest's messages say in `from`, as chatops/chat/messages.py makes it: never the identity id itself, since Cognito
// gives the credentials of an identity to whoever knows its id.
import { Sha256 } from "@aws-crypto/sha256-js";

export function senderOf(identityId: string): string {
  const hash = new Sha256();
  hash.update(identityId);
  const hex = [...hash.digestSync()].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `guest-${hex.slice(0, 16)}`;
}
