import EventBus
import Glibc
import Testing

/// Certificates for tests: an authority, those of servers and of a client, and an unknown authority.
struct TestCertificates: Sendable {
    private let directory: String

    /// Returns the path of a certificate: `ca`, `other`, `server` for `localhost` and `127.0.0.1`, `elsewhere` for
    /// `redis.example`, `expired`, or `client`.
    func certificate(_ name: String) -> String { "\(directory)/\(name).pem" }

    /// Returns the path of a key, which is named like its certificate. `locked` is the client's key with the password
    /// `sesame`.
    func key(_ name: String) -> String { "\(directory)/\(name).key" }

    /// The certificates that all tests share.
    static let shared = Task { try await make() }

    private static func make() async throws -> TestCertificates {
        var template = Array("/tmp/eventbus-redis-tls.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw EventBusError(.unavailable, "no temporary directory") }
        let directory = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        let script = """
            set -e
            cd \(directory)
            exec 2>/dev/null
            authority() { # name, subject
                openssl req -x509 -newkey rsa:2048 -nodes -keyout $1.key -out $1.pem -days 2 -subj "/CN=$2"
            }
            certificate() { # name, subject, its names, extra arguments
                openssl req -newkey rsa:2048 -nodes -keyout $1.key -out $1.csr -subj "/CN=$2"
                printf 'subjectAltName=%s\\n' "$3" > $1.ext
                openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $1.pem -extfile $1.ext $4 $5
            }
            authority ca "test authority"
            authority other "another authority"
            certificate server localhost DNS:localhost,IP:127.0.0.1 -days 2
            certificate elsewhere redis.example DNS:redis.example -days 2
            # Newer releases of OpenSSL refuse a negative duration, and older ones know no dates.
            certificate expired localhost DNS:localhost -days -1 ||
                certificate expired localhost DNS:localhost "-not_before 20200101000000Z -not_after 20200102000000Z"
            certificate client someone DNS:someone -days 2
            openssl rsa -aes256 -in client.key -out locked.key -passout pass:sesame
            touch complete
            exec sleep 600
            """
        let child = try ChildProcess(["sh", "-c", script])
        defer { child.end() }
        try await eventually("the certificates should be made", within: .seconds(60)) {
            access("\(directory)/complete", F_OK) == 0
        }
        return TestCertificates(directory: directory)
    }
}
