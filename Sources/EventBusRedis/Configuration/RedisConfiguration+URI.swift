public import EventBus

extension RedisConfiguration {
    /// Creates a configuration from a URI. Values that are not part of the URI have their defaults.
    ///
    /// - `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`
    /// - `rediss://…` for the same with TLS, see ``tls``
    /// - `redis+sentinel://[[USER]:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]/SERVICE[/DATABASE]` for the primary that Redis
    ///   Sentinel names, or `rediss+sentinel://…` with TLS
    /// - `redis+cluster://[[USER]:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]` for a Redis Cluster, of which at least one node is
    ///   named, or `rediss+cluster://…` with TLS
    /// - `redis+unix://[[USER]:PASSWORD@]/PATH[?db=DATABASE]`, or `unix://` for short
    ///
    /// User, password and path may contain percent-encoded bytes. IPv6 addresses are enclosed in brackets.
    ///
    /// ```swift
    /// let configuration = try RedisConfiguration(uri: "redis://:secret@cache.internal:6379/2")
    /// ```
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.invalidConfiguration`, which does not show the password.
    public init(uri: String) throws(EventBusError) {
        self.init()
        guard let scheme = uri.firstRange(of: "://") else {
            throw Self.invalid("it has no scheme; write redis://HOST:PORT/DATABASE")
        }
        let rest = uri[scheme.upperBound...]
        switch uri[..<scheme.lowerBound].lowercased() {
        case "redis": try parseTCP(rest)
        case "redis+sentinel": try parseSentinel(rest)
        case "rediss+sentinel":
            try parseSentinel(rest)
            tls = TLS()
        case "redis+cluster": try parseCluster(rest)
        case "rediss+cluster":
            try parseCluster(rest)
            tls = TLS()
        case "redis+unix", "unix": try parseUnix(rest)
        case "rediss":
            try parseTCP(rest)
            tls = TLS()
        default:
            throw Self.invalid(
                "its scheme is none of redis, rediss, redis+sentinel, rediss+sentinel, redis+cluster, rediss+cluster, "
                    + "redis+unix, unix"
            )
        }
    }

    private mutating func parseTCP(_ text: Substring) throws(EventBusError) {
        let slash = try endOfAuthority(text)
        let hostAndPort = try takeLogin(text[..<slash])
        let path = text[slash...].dropFirst()
        if !path.isEmpty { database = try Self.database(path) }
        let (host, port) = try Self.hostAndPort(hostAndPort)
        endpoint = .tcp(host: host, port: port ?? 6379)
    }

    private mutating func parseSentinel(_ text: Substring) throws(EventBusError) {
        let slash = try endOfAuthority(text)
        let hosts = try takeHosts(text[..<slash])
        let path = text[slash...].dropFirst().split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let service = path.first, !service.isEmpty else { throw Self.invalid("it names no service") }
        if path.count > 1 { database = try Self.database(path[1]) }
        endpoint = .sentinel(hosts: hosts, service: try Self.decoded(service, "service"))
    }

    private mutating func parseCluster(_ text: Substring) throws(EventBusError) {
        let slash = try endOfAuthority(text)
        endpoint = .cluster(hosts: try takeHosts(text[..<slash]))
        let path = text[slash...].dropFirst()
        if !path.isEmpty { database = try Self.database(path) }
    }

    private mutating func takeHosts(_ text: Substring) throws(EventBusError) -> [Host] {
        try takeLogin(text).split(separator: ",", omittingEmptySubsequences: false).map { text throws(EventBusError) in
            let (host, port) = try Self.hostAndPort(text)
            return Host(host, port: port)
        }
    }

    private func endOfAuthority(_ text: Substring) throws(EventBusError) -> Substring.Index {
        guard !text.contains("?"), !text.contains("#") else {
            throw Self.invalid("it has parameters, which only redis+unix:// takes")
        }
        return text.firstIndex(of: "/") ?? text.endIndex
    }

    private static func hostAndPort(_ text: Substring) throws(EventBusError) -> (host: String, port: Int?) {
        var host = text
        var port: Substring?
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]") else { throw invalid("its address lacks a ]") }
            host = text[..<end].dropFirst()
            let rest = text[end...].dropFirst()
            guard rest.isEmpty || rest.first == ":" else { throw invalid("something stands between ] and the port") }
            if !rest.isEmpty { port = rest.dropFirst() }
        } else if let colon = text.firstIndex(of: ":") {
            host = text[..<colon]
            port = text[colon...].dropFirst()
        }
        guard !host.isEmpty else { throw invalid("it names no host") }
        let number = try port.map { port throws(EventBusError) in
            guard let number = Int(port), (1...65535).contains(number) else {
                throw invalid("its port is not a number from 1 to 65535")
            }
            return number
        }
        return (try decoded(host, "host"), number)
    }

    private mutating func parseUnix(_ text: Substring) throws(EventBusError) {
        let query = text.firstIndex(of: "?") ?? text.endIndex
        let path = try takeLogin(text[..<query])
        guard path.first == "/" else { throw Self.invalid("the path of its socket does not begin with /") }
        let parameters = text[query...].dropFirst()
        if !parameters.isEmpty {
            guard parameters.hasPrefix("db=") else { throw Self.invalid("the one parameter it may have is db") }
            database = try Self.database(parameters.dropFirst(3))
        }
        endpoint = .unix(path: try Self.decoded(path, "path"))
    }

    /// Removes user and password from the front. The last @ ends them, because an unescaped one is part of the
    /// password.
    private mutating func takeLogin(_ text: Substring) throws(EventBusError) -> Substring {
        guard let at = text.lastIndex(of: "@") else { return text }
        let login = text[..<at]
        if let colon = login.firstIndex(of: ":") {
            let user = try Self.decoded(login[..<colon], "user")
            let password = try Self.decoded(login[colon...].dropFirst(), "password")
            credentials = Credentials(user: user.isEmpty ? nil : user, password: password)
        } else {
            throw Self.invalid("it names a user without a password; write redis://:PASSWORD@HOST for a password alone")
        }
        return text[at...].dropFirst()
    }

    private static func database(_ text: Substring) throws(EventBusError) -> Int {
        guard let number = Int(text), number >= 0 else { throw invalid("its database is not a number") }
        return number
    }

    private static func decoded(_ text: Substring, _ what: String) throws(EventBusError) -> String {
        var bytes: [UInt8] = []
        var rest = Substring(text).utf8
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let value = UInt8(String(Substring(rest.prefix(2))), radix: 16) else {
                throw invalid("a percent sign in its \(what) is not followed by two hexadecimal digits")
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self), !decoded.contains("\0") else {
            throw invalid("its \(what) is not UTF-8 text")
        }
        return decoded
    }

    /// Returns an error with the reason. It never shows the URI, which may contain a password.
    private static func invalid(_ reason: String) -> EventBusError {
        EventBusError(.invalidConfiguration, "the Redis URI cannot be used: \(reason)")
    }
}
