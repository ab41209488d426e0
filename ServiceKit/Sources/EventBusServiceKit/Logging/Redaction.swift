import Glibc

/// Redaction of credentials in logs: the secret values of the configuration, and the passwords in URIs.
struct Redaction: Sendable {
    /// The replacement of a credential.
    static let mask = "***"

    /// The minimum length of a secret. Shorter ones would hide ordinary words and protect nothing.
    private static let shortestSecret = 4

    private let secrets: [String]

    /// Creates a redaction of these texts, and of the passwords in those that are URIs.
    init(secrets: [String] = []) {
        var all: Set<String> = []
        for secret in secrets {
            all.insert(secret)
            if let password = Self.password(inURI: secret) {
                all.insert(password)
                if let decoded = Self.percentDecoded(password) { all.insert(decoded) }
            }
        }
        // The longest first, because a shorter one may be a part of it.
        self.secrets = all.filter { $0.utf8.count >= Self.shortestSecret }.sorted { $0.utf8.count > $1.utf8.count }
    }

    /// Returns the text without credentials.
    func redact(_ text: String) -> String {
        var text = text
        for secret in secrets where Self.holds(secret, in: &text) {
            text = String(decoding: Array(text.utf8).replacing(Array(secret.utf8), with: Self.mask.utf8), as: UTF8.self)
        }
        return Self.holds("://", in: &text) ? Self.withoutPasswordsOfURIs(text) : text
    }

    /// Returns a Boolean value indicating whether `text` contains `part`, byte by byte. Every line is checked for every
    /// secret.
    static func holds(_ part: String, in text: inout String) -> Bool {
        var part = part
        return text.withUTF8 { text in
            part.withUTF8 { part in
                guard let start = text.baseAddress, let pattern = part.baseAddress else { return false }
                var position = 0
                while position + part.count <= text.count {
                    let places = text.count - part.count - position + 1
                    guard let found = memchr(start + position, CInt(part[0]), places) else { return false }
                    if memcmp(found, pattern, part.count) == 0 { return true }
                    position = UnsafeRawPointer(start).distance(to: found) + 1
                }
                return false
            }
        }
    }

    /// Replaces `password` in every `scheme://user:password@`.
    ///
    /// The delimiters are scalars, because a mark after one would make another character of it.
    private static func withoutPasswordsOfURIs(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        var rest = text.unicodeScalars[...]
        while let mark = rest.firstRange(of: schemeEnd) {
            result += rest[..<mark.upperBound]
            rest = rest[mark.upperBound...]
            let authority = rest.prefix { $0 != "/" && $0 != "?" && !$0.properties.isWhitespace && $0 != "\"" }
            guard let at = authority.lastIndex(of: "@") else { continue }
            let user = authority[..<at].prefix { $0 != ":" }
            result += user
            if user.endIndex != at { result += ":\(mask)".unicodeScalars }
            rest = rest[at...]
        }
        result += rest
        return String(result)
    }

    private static let schemeEnd = Array("://".unicodeScalars)

    private static func password(inURI text: String) -> String? {
        let text = text.unicodeScalars
        guard let mark = text.firstRange(of: schemeEnd), let at = text.lastIndex(of: "@"), mark.upperBound < at,
            let colon = text[mark.upperBound..<at].firstIndex(of: ":")
        else { return nil }
        return String(text[text.index(after: colon)..<at])
    }

    private static func percentDecoded(_ text: String) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%") {
                guard let value = UInt8(String(Substring(rest.prefix(2))), radix: 16) else { return nil }
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
