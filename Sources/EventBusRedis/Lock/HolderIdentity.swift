import EventBus

/// The identity of a lock object on the server: the name of its process, for people, and a random number.
///
/// It is the first part of a token, and of a message, so the name contains neither periods nor spaces.
enum HolderIdentity {
    /// The maximum length of a name in bytes.
    private static let maximumLength = 64

    /// Returns a new identity, such as `web-1:4711~0123456789abcdef0123456789abcdef`.
    static func make(name: String) -> String {
        let name = name.prefixed(toUTF8Length: maximumLength)
        return "\(RedisKeys.escaped(name, where: mustEscape))~\(String.randomHexadecimal(words: 2))"
    }

    /// Returns the name of the process in the owner of a grant.
    static func name(ofOwner owner: String) -> String {
        let identity = owner.prefix { $0 != "." }
        guard let end = identity.lastIndex(of: "~") else { return String(identity) }
        return RedisKeys.unescaped(identity[..<end]) ?? String(identity[..<end])
    }

    private static func mustEscape(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: ":"):
            false
        default: true
        }
    }
}
