import Hummingbird

/// Middleware that refuses requests to other hosts, so that no web page can reach the service under its own name
/// through the browser of somebody who can.
struct HostMiddleware: RouterMiddleware {
    let hosts: AllowedHosts

    func handle(
        _ request: Request,
        context: ServiceRequestContext,
        next: @concurrent (Request, ServiceRequestContext) async throws -> Response
    ) async throws -> Response {
        if hosts.contains(request.head.authority ?? "") { return try await next(request, context) }
        let problem = HTTPProblem(
            .misdirectedRequest,
            "The host is not known",
            detail: "The header Host has to name this service; http.allowedHosts lists its names."
        )
        return try problem.response(from: request, context: context)
    }
}

/// The names under which clients may address a service.
struct AllowedHosts: Sendable {
    private static let ownNames: Set<String> = ["localhost", "127.0.0.1", "[::1]"]

    private let names: Set<String>
    private let includesAll: Bool

    /// Creates the names of this machine and others.
    ///
    /// - Parameter others: Names without ports. `*` allows every name.
    init(_ others: some Sequence<String> = []) {
        names = Self.ownNames.union(others.map { $0.lowercased() })
        includesAll = names.contains("*")
    }

    /// Returns a Boolean value indicating whether the authority of a request, a name with an optional port, is allowed.
    func contains(_ authority: String) -> Bool {
        if includesAll { return true }
        let host = authority.lowercased()
        if names.contains(host) { return true }
        guard let colon = host.utf8.lastIndex(of: UInt8(ascii: ":")) else { return false }
        let port = host.utf8[host.utf8.index(after: colon)...]
        return (0...5).contains(port.count) && port.allSatisfy { (0x30...0x39).contains($0) }
            && names.contains(String(host[..<colon]))
    }
}
