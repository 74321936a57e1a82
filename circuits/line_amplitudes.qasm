// line_amplitudes: RY and RZ on amplitudes and an ancilla, CZ along the line; the class turns each RY.
// Source: ours: a few latents as amplitudes on a line
// Options: num_data=3, depth=2, guided=True, entangled=True
// Qubits (q[0] is the least significant): data q[1], q[2], q[3]; ancilla q[0]
// Parameters in radians, as declared: 12 weights w_..., 8 inputs x_...
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
input float[64] x_0000;
input float[64] x_0001;
input float[64] x_0002;
input float[64] x_0003;
input float[64] x_0004;
input float[64] x_0005;
input float[64] x_0006;
input float[64] x_0007;
qubit[4] q;
ry(w_0000 + x_0000) q[0];
ry(w_0001 + x_0001) q[1];
ry(w_0002 + x_0002) q[2];
ry(w_0003 + x_0003) q[3];
rz(w_0004) q[0];
rz(w_0005) q[1];
rz(w_0006) q[2];
rz(w_0007) q[3];
cz q[0], q[1];
cz q[1], q[2];
cz q[2], q[3];
ry(w_0008 + x_0004) q[0];
ry(w_0009 + x_0005) q[1];
ry(w_0010 + x_0006) q[2];
ry(w_0011 + x_0007) q[3];
