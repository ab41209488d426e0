import Glibc
import Testing

/// Returns the address of a port on the loopback interface, at 127.0.0.1 or another of its addresses.
private func loopback(_ port: Int, host: UInt8 = 1) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7F00_0000 | UInt32(host)).bigEndian
    return address
}

/// Returns a port that nothing listens on. It is below the range that the kernel assigns to outgoing connections, so
/// only another server that chooses at random could take it meanwhile.
func freePort() throws -> Int {
    for _ in 0..<200 {
        let port = Int.random(in: 20_000..<32_000)
        if !portIsOpen(port) { return port }
    }
    throw ProcessFailure(command: "freePort", status: 0, output: "no port is free")
}

/// Returns a socket that listens at 127.0.0.`host`, by default on a port that the kernel chooses. Nothing is accepted or
/// answered unless the caller does.
func listenOnLoopback(at host: UInt8 = 1, port: Int = 0) throws -> (descriptor: Int32, port: Int) {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    try #require(descriptor >= 0)
    var address = loopback(port, host: host)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isListening = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
            bind(descriptor, pointer, length) == 0 && listen(descriptor, 64) == 0
                && getsockname(descriptor, pointer, &length) == 0
        }
    }
    try #require(isListening)
    return (descriptor, Int(in_port_t(bigEndian: address.sin_port)))
}

/// Returns a socket that is connected to the port, or `nil`.
func connectOnLoopback(to port: Int) -> Int32? {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var address = loopback(port)
    let status = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
    if status == 0 { return descriptor }
    close(descriptor)
    return nil
}

/// Returns a Boolean value indicating whether something listens on the port.
func portIsOpen(_ port: Int) -> Bool {
    guard let descriptor = connectOnLoopback(to: port) else { return false }
    close(descriptor)
    return true
}

/// Sends all bytes. Returns a Boolean value indicating whether that worked.
func sendAll(_ bytes: some Collection<UInt8>, to descriptor: Int32) -> Bool {
    let bytes = Array(bytes)
    var sent = 0
    while sent < bytes.count {
        let written = bytes[sent...].withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        if written <= 0 { return false }
        sent += written
    }
    return true
}
