public import EventBus

extension RabbitConfiguration {
    static let noServerName =
        "librabbitmq asks for and checks the name that it connects to; name the broker as its certificate does"

    /// Creates a configuration from a URI: `amqp://user:password@host:port,host:port/virtual-host`, or `amqps://…` for
    /// TLS.
    ///
    /// Parts are percent-encoded. The virtual host `/` is `%2F`. The defaults are `guest:guest`, the standard port and
    /// the virtual host `/`. The query parameters `heartbeat=SECONDS` and `connection_timeout=MILLISECONDS` are
    /// supported.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.invalidConfiguration`, which names the part and never the
    ///   password.
    public init(uri: String) throws(EventBusError) {
        func invalid(_ problem: String) -> EventBusError {
            EventBusError(.invalidConfiguration, "the URI of the broker is not valid: \(problem)")
        }
        func decoded(_ text: Substring, _ part: String) throws(EventBusError) -> String {
            guard let decoded = text.percentDecoded else { throw invalid("the \(part) has a bad percent-encoding") }
            return decoded
        }

        let isTLS: Bool
        var rest: Substring
        if uri.hasPrefix("amqp://") {
            (isTLS, rest) = (false, uri.dropFirst(7))
        } else if uri.hasPrefix("amqps://") {
            (isTLS, rest) = (true, uri.dropFirst(8))
        } else {
            throw invalid("it begins with neither amqp:// nor amqps://")
        }

        var query: Substring = ""
        if let mark = rest.firstIndex(of: "?") {
            query = rest[rest.index(after: mark)...]
            rest = rest[..<mark]
        }
        var virtualHost = "/"
        if let slash = rest.firstIndex(of: "/") {
            let path = rest[rest.index(after: slash)...]
            if path.contains("/") { throw invalid("a slash in the virtual host has to be written %2F") }
            if !path.isEmpty { virtualHost = try decoded(path, "virtual host") }
            rest = rest[..<slash]
        }
        var credentials = Credentials(user: "guest", password: "guest")
        if let at = rest.lastIndex(of: "@") {
            let userInfo = rest[..<at]
            rest = rest[rest.index(after: at)...]
            let colon = userInfo.firstIndex(of: ":") ?? userInfo.endIndex
            credentials.user = try decoded(userInfo[..<colon], "user")
            credentials.password =
                colon == userInfo.endIndex ? "" : try decoded(userInfo[colon...].dropFirst(), "password")
        }
        var hosts: [Host] = []
        for part in rest.split(separator: ",", omittingEmptySubsequences: false) {
            guard let host = Host(part, defaultPort: isTLS ? 5671 : 5672) else { throw invalid("a host is not valid") }
            hosts.append(host)
        }
        guard let first = hosts.first else { throw invalid("it names no host") }
        self.init(host: first, credentials: credentials, virtualHost: virtualHost, tls: isTLS ? TLS() : nil)
        self.hosts = hosts

        for pair in query.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { throw invalid("a part of the query has no value") }
            switch (parts[0], Int(parts[1])) {
            case ("server_name_indication", _):
                throw invalid("it has server_name_indication, but \(Self.noServerName)")
            case ("heartbeat", let seconds?) where seconds >= 0: heartbeat = .seconds(seconds)
            case ("connection_timeout", let milliseconds?) where milliseconds > 0:
                connectTimeout = .milliseconds(milliseconds)
            default: throw invalid("the query's \(String(parts[0]).quotedForError) is unknown, or its value no number")
            }
        }
        try validate()
    }
}

extension RabbitConfiguration.Host {
    /// Parses `name`, `name:port`, `[address]` or `[address]:port`.
    init?(_ text: Substring, defaultPort: Int) {
        var name = text
        var port: Substring = ""
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]") else { return nil }
            name = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            if !rest.isEmpty {
                guard rest.first == ":" else { return nil }
                port = rest.dropFirst()
                if port.isEmpty { return nil }
            }
        } else if let colon = text.firstIndex(of: ":") {
            name = text[..<colon]
            port = text[text.index(after: colon)...]
            if port.isEmpty { return nil }
        }
        guard let decoded = name.percentDecoded, !decoded.isEmpty else { return nil }
        guard let number = port.isEmpty ? defaultPort : Int(port), (1...65535).contains(number) else { return nil }
        self.init(decoded, port: number)
    }
}

extension Substring {
    /// The text with `%XX` decoded, or `nil` if the encoding is invalid or the result is not UTF-8.
    var percentDecoded: String? {
        var bytes: [UInt8] = []
        var rest = utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%") {
                guard let high = rest.popFirst()?.hexDigit, let low = rest.popFirst()?.hexDigit else { return nil }
                bytes.append(high << 4 | low)
            } else {
                bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

extension UInt8 {
    fileprivate var hexDigit: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
