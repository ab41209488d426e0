import ConnectionThread
import EventBus
import Glibc

/// An address that a socket can connect to.
struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
    let family: Int32
    /// The name or the address of the host, as it was looked up.
    let host: String
    let description: String
    private let bytes: [UInt8]

    func withSockaddr<R>(_ body: (UnsafePointer<sockaddr>?, socklen_t) -> R) -> R {
        bytes.withUnsafeBytes { body($0.bindMemory(to: sockaddr.self).baseAddress, socklen_t($0.count)) }
    }

    /// Returns the address of a Unix domain socket.
    static func unix(path: String) -> SocketAddress {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // Truncated to the size of the structure, with its last byte left zero. The configuration has refused longer
        // paths.
        withUnsafeMutableBytes(of: &address.sun_path) { $0.dropLast().copyPrefix(of: path.utf8) }
        let bytes = withUnsafeBytes(of: &address) { [UInt8]($0) }
        return SocketAddress(family: AF_UNIX, host: path, description: path, bytes: bytes)
    }

    /// Returns the addresses of a host. Resolving a name over the network may block for any length of time.
    static func resolve(host: String, port: Int, numericOnly: Bool) throws(EventBusError) -> [SocketAddress] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV | (numericOnly ? AI_NUMERICHOST : 0)
        var list: UnsafeMutablePointer<addrinfo>?
        let problem = getaddrinfo(host, String(port), &hints, &list)
        guard problem == 0, let list else {
            let reason = gai_strerror(problem).map { String(cString: $0) } ?? "error \(problem)"
            throw EventBusError(.unavailable, "the Redis host \(host.quotedForError) has no address: \(reason)")
        }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next: UnsafeMutablePointer<addrinfo>? = list
        while let info = next?.pointee {
            if let address = info.ai_addr {
                let bytes = UnsafeRawBufferPointer(start: address, count: Int(info.ai_addrlen))
                addresses.append(
                    SocketAddress(
                        family: info.ai_family,
                        host: host,
                        description: "\(host):\(port)",
                        bytes: [UInt8](bytes)
                    )
                )
            }
            next = info.ai_next
        }
        return addresses
    }
}

extension Slice<UnsafeMutableRawBufferPointer> {
    fileprivate func copyPrefix(of source: some Collection<UInt8>) {
        UnsafeMutableRawBufferPointer(rebasing: self).copyBytes(from: source.prefix(count))
    }
}
