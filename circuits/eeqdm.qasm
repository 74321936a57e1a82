// eeqdm: Bell stage on the data, then layers on half the register and the ancilla.
// Source: Shah and Vatsa, arXiv:2411.15973, section 3.1
// Options: num_data=4, depth=2, guided=False
// Qubits (q[0] is the least significant): data q[1], q[2], q[3], q[4]; ancilla q[0]
// Parameters in radians, as declared: 18 weights w_..., 0 inputs x_...
OPENQASM 3.0;
include "stdgates.inc";
input float[64] w_0000;
input float[64] w_0001;
input float[64] w_0002;
input float[64] w_0003;
input float[64] w_0004;
input float[64] w_0005;
input float[64] w_0006;
input float[64] w_0007;
input float[64] w_0008;
input float[64] w_0009;
input float[64] w_0010;
input float[64] w_0011;
input float[64] w_0012;
input float[64] w_0013;
input float[64] w_0014;
input float[64] w_0015;
input float[64] w_0016;
input float[64] w_0017;
qubit[5] q;
h q[4];
h q[3];
cx q[4], q[2];
cx q[3], q[1];
rz(w_0000) q[4];
ry(w_0001) q[4];
rz(w_0002) q[4];
rz(w_0003) q[3];
ry(w_0004) q[3];
rz(w_0005) q[3];
rz(w_0006) q[0];
ry(w_0007) q[0];
rz(w_0008) q[0];
cx q[4], q[3];
cx q[3], q[0];
cx q[0], q[4];
rz(w_0009) q[4];
ry(w_0010) q[4];
rz(w_0011) q[4];
rz(w_0012) q[3];
ry(w_0013) q[3];
rz(w_0014) q[3];
rz(w_0015) q[0];
ry(w_0016) q[0];
rz(w_0017) q[0];
cx q[4], q[0];
cx q[3], q[4];
cx q[0], q[3];
