/// The parts of a connection URI as they were written.
///
/// libpq ends the login at the first `@`, and sees no login if a `/` comes before it. A password with an unescaped `@` or
/// `/` would become a part of the address, which is shown.
struct ConnectionURI {
    private let text: Substring

    /// Returns `nil` if a connection string is no URI.
    init?(_ connectionString: String) {
        guard let scheme = ["postgres://", "postgresql://"].first(where: { connectionString.hasPrefix($0) }) else {
            return nil
        }
        text = connectionString.dropFirst(scheme.count)
    }

    /// A Boolean value indicating whether a part of the password may be taken for a part of the address.
    ///
    /// - Parameter port: The ports as libpq has read them.
    func mayShowPassword(port: String?) -> Bool {
        let (authority, rest) = divide(text, at: "/")
        if authority.utf8.count(where: { $0 == UInt8(ascii: "@") }) > 1 { return true }
        if divide(rest, at: "?").before.utf8.contains(UInt8(ascii: "@")) { return true }
        return port?.utf8.contains { !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) && $0 != UInt8(ascii: ",") }
            ?? false
    }

    private func divide(_ text: Substring, at separator: Character) -> (before: Substring, after: Substring) {
        guard let ascii = separator.asciiValue, let index = text.utf8.firstIndex(of: ascii) else { return (text, "") }
        return (text[..<index], text[index...].dropFirst())
    }
}
