import EventBus
import Glibc
import Testing

/// Certificates for one test run: an authority, a server's certificate for `localhost`, an expired one, a client's, and
/// an unknown authority.
struct TestCertificates: Sendable {
    var directory: String

    var ca: String { "\(directory)/ca.pem" }
    var otherCA: String { "\(directory)/other.pem" }
    func certificate(_ name: String) -> String { "\(directory)/\(name).pem" }
    func key(_ name: String) -> String { "\(directory)/\(name).key" }

    static func make() async throws -> TestCertificates {
        // Nobody else can have made the folder before.
        var template = Array("/tmp/eventbus-tls.XXXXXX".utf8CString)
        let directory = try #require(mkdtemp(&template).map { String(cString: $0) })
        let script = """
            set -e
            cd \(directory)
            authority() {
                openssl req -x509 -newkey rsa:2048 -nodes -keyout $1.key -out $1.pem -days 2 -subj "/CN=$2"
            }
            certificate() { # name, subject, extra arguments
                openssl req -newkey rsa:2048 -nodes -keyout $1.key -out $1.csr -subj "/CN=$2"
                printf 'subjectAltName=DNS:%s\\n' "$2" > $1.ext
                openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $1.pem -extfile $1.ext $3 $4
                chmod 644 $1.key
            }
            authority ca "test authority"
            authority other "another authority"
            certificate server localhost -days 2
            certificate elsewhere broker.example -days 2
            certificate client guest -days 2
            certificate expired localhost -days -1
            """
        let file = try temporaryFile(containing: script)
        _ = try await run("bash", [file])
        return TestCertificates(directory: directory)
    }
}
