//go:build !unsealed_cryptfs

package cryptfs

import "crypto/cipher"

// Sealed tells whether this build encrypts. Only a build made to prove that
// the noise test notices (tag unsealed_cryptfs) does not.
const Sealed = true

func xor(s cipher.Stream, dst, src []byte) { s.XORKeyStream(dst, src) }
