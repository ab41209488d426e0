import Glibc

/// The resolution of host names.
enum HostAddress {
    /// Returns the numeric addresses of a host in the system's order of preference. Blocks while the name is resolved.
    ///
    /// Each is tried with its own timeout, because the library would let the first silent one use up the time of all.
    static func resolve(_ host: String) throws(AMQPFailure) -> [String] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let problem = getaddrinfo(host, nil, &hints, &list)
        guard problem == 0, let list else {
            let reason = gai_strerror(problem).map { String(cString: $0) } ?? "error \(problem)"
            throw AMQPFailure(.connectFailed, "\(host) has no address: \(reason)")
        }
        defer { freeaddrinfo(list) }
        var addresses: [String] = []
        var next: UnsafeMutablePointer<addrinfo>? = list
        while let info = next?.pointee {
            next = info.ai_next
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let status = getnameinfo(
                info.ai_addr,
                info.ai_addrlen,
                &text,
                socklen_t(text.count),
                nil,
                0,
                NI_NUMERICHOST
            )
            let end = text.firstIndex(of: 0) ?? text.endIndex
            let address = String(decoding: text[..<end].map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if status == 0, !addresses.contains(address) { addresses.append(address) }
        }
        return addresses
    }
}
