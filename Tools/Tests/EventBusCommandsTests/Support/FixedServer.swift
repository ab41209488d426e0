import Foundation
import Glibc
import Synchronization
import Testing

/// An HTTP server that answers each path with a fixed text.
final class FixedServer: Sendable {
    typealias Answers = [String: (status: Int, body: String)]

    /// The requests so far.
    private final class Requests: Sendable {
        let all = Mutex<[String]>([])
    }

    let port: Int
    private let listener: Int32
    private let requests = Requests()

    /// The requests so far.
    var received: [String] { requests.all.withLock { $0 } }

    /// Creates a server.
    ///
    /// - Parameters:
    ///   - answers: The status and the body by the path.
    ///   - date: The header with the date, or `nil` for none.
    init(_ answers: Answers, date: String? = nil) throws {
        (listener, port) = try SilentServer.listening()
        let (listener, requests) = (listener, requests)
        Thread.detachNewThread { Self.serve(listener, answers, date, requests) }
    }

    deinit { shutdown(listener, Int32(SHUT_RDWR)) }

    private static func serve(_ listener: Int32, _ answers: Answers, _ date: String?, _ requests: Requests) {
        defer { close(listener) }
        while true {
            let client = accept(listener, nil, nil)
            guard client >= 0 else { return }
            defer { close(client) }
            var request: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 4096)
            while !String(decoding: request, as: UTF8.self).contains("\r\n\r\n") {
                let count = recv(client, &buffer, buffer.count, 0)
                guard count > 0 else { break }
                request += buffer[..<count]
            }
            let text = String(decoding: request, as: UTF8.self)
            requests.all.withLock { $0.append(text) }
            let path = text.split(separator: " ").dropFirst().first.map(String.init) ?? ""
            let answer = answers[String(path.prefix { $0 != "?" })] ?? (404, "{}")
            let head = "HTTP/1.0 \(answer.status) X\r\n" + (date.map { "Date: \($0)\r\n" } ?? "") + "\r\n"
            let bytes = Array((head + answer.body).utf8)
            _ = send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        }
    }
}
