import Hummingbird

/// The clients that may use the HTTP interface of a service, each with its own token.
///
/// A client sends its token as `Authorization: Bearer TOKEN`. Its name separates its idempotency keys from those of
/// others. Health, metrics and ``ServiceAssembly/publicPaths`` are available without a token.
///
/// ```swift
/// let access = try HTTPAccess(tokens: "till:6f1d…,shop:9a2c…")
/// ```
///
/// A ``ServiceDefinition`` reads them from `http.tokens`.
public struct HTTPAccess: Sendable {
    /// The minimum length of a token, in bytes.
    static let minimumTokenLength = 16

    /// Access for everyone, without a token.
    public static let open = HTTPAccess(clients: nil)

    /// The tokens by client, or `nil` if everyone has access.
    private let clients: [(name: String, token: [UInt8])]?

    private init(clients: [(name: String, token: [UInt8])]?) {
        self.clients = clients
    }

    /// Creates access for clients.
    ///
    /// - Parameter text: The names and tokens in the format `NAME:TOKEN,NAME:TOKEN`.
    /// - Throws: ``ServiceFailure`` if it is invalid. The description contains no token.
    public init(tokens text: String) throws(ServiceFailure) {
        var clients: [(name: String, token: [UInt8])] = []
        for (index, entry) in text.split(separator: ",", omittingEmptySubsequences: false).enumerated() {
            let parts = entry.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, Self.isName(parts[0]), Self.isToken(parts[1]) else {
                throw ServiceFailure(
                    "http.tokens: entry \(index + 1) has to be NAME:TOKEN, with a name of 1 to 64 letters, digits, '_' "
                        + "and '-' and a token of \(Self.minimumTokenLength) to 1024 printable ASCII characters"
                )
            }
            let token = Array(parts[1].utf8)
            guard !clients.contains(where: { $0.name.utf8.elementsEqual(parts[0].utf8) || $0.token == token }) else {
                throw ServiceFailure("http.tokens: entry \(index + 1) has the name or the token of another one")
            }
            clients.append((String(parts[0]), token))
        }
        self.init(clients: clients)
    }

    /// The tokens, which must never be shown.
    var secrets: [String] { (clients ?? []).map { String(decoding: $0.token, as: UTF8.self) } }

    /// Returns the name of the client that sent a request, or an empty name if everyone has access.
    ///
    /// - Throws: ``HTTPProblem`` 401 if the request has no valid token.
    func client(of request: Request) throws(HTTPProblem) -> String {
        guard let clients else { return "" }
        let values = request.headers[values: .authorization]
        let parts = (values.count == 1 ? values[0] : "").split(separator: " ", maxSplits: 1)
        if parts.count == 2, parts[0].lowercased() == "bearer" {
            let token = Array(parts[1].utf8)
            // Every token is compared, so that the duration does not tell which one is similar.
            let matching = clients.filter { Self.isEqual($0.token, token) }
            if let client = matching.first { return client.name }
        }
        throw HTTPProblem(
            .unauthorized,
            "A token is required",
            detail: "Send the token of a client as the header Authorization: Bearer TOKEN.",
            headers: [.wwwAuthenticate: "Bearer"]
        )
    }

    /// Compares two texts in a time that depends on their lengths only.
    private static func isEqual(_ lhs: [UInt8], _ rhs: [UInt8]) -> Bool {
        lhs.count == rhs.count && zip(lhs, rhs).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }

    private static func isName(_ text: Substring) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }

    private static func isToken(_ text: Substring) -> Bool {
        (minimumTokenLength...1024).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }
}
