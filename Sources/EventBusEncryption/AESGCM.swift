internal import COpenSSL

/// Authenticated encryption with AES-256 in Galois/Counter Mode (NIST SP 800-38D).
enum AESGCM {
    /// The number of bytes of a nonce, which no two messages of a key may share.
    static let nonceLength = 12
    /// The number of bytes of an authentication tag.
    static let tagLength = 16
    /// The maximum number of bytes of a message.
    static let maximumLength = Int(Int32.max) - nonceLength - tagLength

    /// Returns the nonce, the encrypted message and the tag, or `nil` if OpenSSL fails.
    ///
    /// - Parameter context: The data that is authenticated, but not part of the result.
    static func seal(_ message: [UInt8], key: [UInt8], nonce: [UInt8], context: [UInt8]) -> [UInt8]? {
        guard message.count <= maximumLength else { return nil }
        var isDone = false
        let sealed = [UInt8](unsafeUninitializedCapacity: nonceLength + message.count + tagLength) { target, count in
            guard let start = target.baseAddress else { return }
            for (offset, byte) in nonce.enumerated() { start[offset] = byte }
            isDone = message.withUnsafeBufferPointer { source in
                crypt(
                    source,
                    into: start + nonceLength,
                    tag: start + nonceLength + message.count,
                    key: key,
                    nonce: nonce,
                    context: context,
                    encrypts: true
                )
            }
            count = isDone ? target.count : 0
        }
        return isDone ? sealed : nil
    }

    /// Returns the message in `sealed`, or `nil` if it was changed or belongs to another key or context.
    static func open(_ sealed: [UInt8], key: [UInt8], context: [UInt8]) -> [UInt8]? {
        let length = sealed.count - nonceLength - tagLength
        guard length >= 0, length <= maximumLength else { return nil }
        let nonce = Array(sealed.prefix(nonceLength))
        var tag = Array(sealed.suffix(tagLength))
        var isDone = false
        // One byte at least, because an empty array may have no address.
        let message = [UInt8](unsafeUninitializedCapacity: max(1, length)) { target, count in
            guard let start = target.baseAddress else { return }
            isDone = sealed.withUnsafeBufferPointer { source in
                tag.withUnsafeMutableBufferPointer { tag in
                    guard let tag = tag.baseAddress else { return false }
                    return crypt(
                        UnsafeBufferPointer(rebasing: source[nonceLength..<(nonceLength + length)]),
                        into: start,
                        tag: tag,
                        key: key,
                        nonce: nonce,
                        context: context,
                        encrypts: false
                    )
                }
            }
            // A message is not revealed before it has proved to be authentic.
            count = isDone ? length : 0
        }
        return isDone ? message : nil
    }

    private static func crypt(
        _ source: UnsafeBufferPointer<UInt8>,
        into target: UnsafeMutablePointer<UInt8>,
        tag: UnsafeMutablePointer<UInt8>,
        key: [UInt8],
        nonce: [UInt8],
        context: [UInt8],
        encrypts: Bool
    ) -> Bool {
        precondition(key.count == EncryptionKey.length && nonce.count == nonceLength)
        guard let cipher = EVP_CIPHER_CTX_new() else { return false }
        defer { EVP_CIPHER_CTX_free(cipher) }
        let tagSize = Int32(tagLength)
        var written: Int32 = 0
        guard EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), nil, key, nonce, encrypts ? 1 : 0) == 1 else { return false }
        guard EVP_CipherUpdate(cipher, nil, &written, context, Int32(context.count)) == 1 else { return false }
        if !source.isEmpty {
            guard EVP_CipherUpdate(cipher, target, &written, source.baseAddress, Int32(source.count)) == 1,
                Int(written) == source.count
            else { return false }
        }
        if !encrypts, EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, tagSize, tag) != 1 { return false }
        // It writes nothing in this mode, but needs an address.
        var rest = [UInt8](repeating: 0, count: 16)
        guard EVP_CipherFinal_ex(cipher, &rest, &written) == 1 else { return false }
        return !encrypts || EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, tagSize, tag) == 1
    }
}
